"""Data files that ship inside installed packages, read where they lie.

Their packages are not imported: that would load scikit-learn, bokeh, gymnasium and statsmodels. Does not belong here:
what the files mean (``sample``, ``sample_rates``).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from bentleybot_assets.connectors.feeds import ConfigError


@dataclass(frozen=True)
class Recording:
    """One file of an installed package.

    Attributes:
        name: what records say they come from.
        package: the package's import name.
        path: the file inside it.
        fetched_at: when it was recorded, as text: an instant of the recording, never the clock.
    """

    name: str
    package: str
    path: str
    fetched_at: str

    @property
    def source_version(self) -> str:
        """Version of the installed package."""
        return importlib.metadata.version(self.package)

    def provenance(self) -> dict[str, Any]:
        """What each record of the file says about where it comes from."""
        return {
            "is_modelled": True,
            "fetched_at": self.fetched_at,
            "source": self.name,
            "source_version": self.source_version,
        }

    def read(self) -> pl.DataFrame:
        """The file as it stands: dates and times are texts.

        Raises:
            ConfigError: the package or the file is not there; the message says what to install.
        """
        found = importlib.util.find_spec(self.package)
        for folder in (found.submodule_search_locations or ()) if found else ():
            if Path(folder, self.path).is_file():
                return pl.read_csv(Path(folder, self.path))
        raise ConfigError(
            f"The sample reads {self.path} from the package {self.package}, but it is not there. "
            f"Install the package: pip install {self.package}."
        )
