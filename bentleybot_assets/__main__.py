"""The process of the ``bentleybot`` command, which ``python -m bentleybot_assets`` starts too.

Belongs here: what must be set before libraries load. Does not belong here: what the command does (``cli``).
"""

import gc
import os
import sys


def main() -> None:
    """Set the process up, then do as the command line says."""
    # Written, not read: linear algebra on a few columns takes less time than waking a thread for it, and the
    # threads are made when numpy is imported. An environment that sets it decides.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251
    # The command lives for seconds and keeps most of what it makes: walking all of it again and again finds nothing
    # to free, and taking it apart at the end costs a tenth of a run.
    gc.set_threshold(200_000, 50, 50)
    from bentleybot_assets.cli import app

    try:
        app()
    finally:
        # DuckDB's bindings take what is left at the end for leaked, and say so.
        if "duckdb" not in sys.modules:
            gc.freeze()


if __name__ == "__main__":
    main()
