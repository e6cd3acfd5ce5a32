"""The process of a :func:`benchmarks._measure.function_case`: ``python -m benchmarks._case MODULE:FUNCTION JSON``."""

from __future__ import annotations

import importlib
import json
import sys

from benchmarks._measure import Section


def main() -> None:
    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(module), name)
    section = Section()
    told = function(section, **json.loads(sys.argv[2])) or {}
    print(json.dumps({**told, "cpu": section.cpu}))


if __name__ == "__main__":
    main()
