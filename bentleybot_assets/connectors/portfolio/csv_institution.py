"""Institutions whose exports are CSV files: what their entry in the configuration says.

Does not belong here: what a file says (``csv_tables``), what happens to files (``files``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

from bentleybot_assets.connectors.feeds import ConfigError
from bentleybot_assets.connectors.portfolio.csv_mapping import mapping_of
from bentleybot_assets.connectors.portfolio.csv_tables import Account, read
from bentleybot_assets.connectors.portfolio.files import Files, FilesInstitution
from bentleybot_assets.connectors.portfolio.statements import Statement
from bentleybot_assets.contracts._base import CURRENCY_PATTERN
from bentleybot_assets.contracts.raw.portfolio import ACCOUNT_KINDS


class CsvInstitution(FilesInstitution):
    """An institution whose exports are CSV files.

    Args:
        settings: see :class:`Institution`.
        start: see :class:`Institution`.
        clock: see :class:`Institution`.
    """

    SETTINGS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "files": {
            "type": "array",
            "minItems": 1,
            "title": "Files",
            "description": "The exports: transactions, positions, one or more accounts.",
            "items": {
                "type": "object",
                "required": ["path", "mapping", "account_kind"],
                "additionalProperties": False,
                "properties": {
                    "path": {
                        "type": "string",
                        "minLength": 1,
                        "title": "Path",
                        "description": "A file, a folder, or a folder and a pattern of names such as exports/*.csv.",
                    },
                    "mapping": {
                        "type": ["string", "object"],
                        "title": "Mapping",
                        "description": "How the files are to be read: bank, broker_us, broker_us_positions, broker_eu, "
                        "or a mapping of your own.",
                    },
                    "account": {
                        "type": "string",
                        "minLength": 1,
                        "title": "Account",
                        "description": "Its number, if the files do not tell it.",
                    },
                    "account_name": {"type": "string", "title": "Account name", "description": "What you call it."},
                    "account_kind": {"type": "string", "enum": list(ACCOUNT_KINDS), "title": "Kind of account"},
                    "currency": {
                        "type": "string",
                        "pattern": CURRENCY_PATTERN,
                        "title": "Currency",
                        "description": "Of the amounts, if the files do not tell it.",
                    },
                },
            },
        },
    }
    REQUIRED: ClassVar[tuple[str, ...]] = ("files",)

    def __init__(self, settings: Mapping[str, Any], start: date, clock: Callable[[], datetime]) -> None:
        files = [_files(entry, f"files[{position}]") for position, entry in enumerate(settings["files"])]
        super().__init__("csv", settings, start, clock, files)


def _files(entry: Mapping[str, Any], place: str) -> Files:
    mapping = mapping_of(entry["mapping"], place)
    if "account" not in mapping.columns and "account" not in entry:
        raise ConfigError(f"{place}: its mapping has no column for the account. Set `account`.")
    account = Account(entry.get("account"), entry.get("account_name"), entry["account_kind"], entry.get("currency"))

    def parse(name: str, content: bytes) -> Statement:
        return read(name, content, mapping, account)

    return Files(Path(entry["path"]), (".csv",), parse)
