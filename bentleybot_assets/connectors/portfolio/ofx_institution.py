"""Institutions whose statements are OFX or QFX files: what their entry in the configuration says.

Does not belong here: what a file says (``ofx``), what happens to files (``files``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

from bentleybot_assets.connectors.portfolio.files import Files, FilesInstitution
from bentleybot_assets.connectors.portfolio.ofx import read
from bentleybot_assets.connectors.portfolio.statements import Statement


class OfxInstitution(FilesInstitution):
    """An institution whose statements are OFX or QFX files.

    Args:
        settings: see :class:`Institution`.
        start: see :class:`Institution`.
        clock: see :class:`Institution`.
    """

    SETTINGS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "path": {
            "type": "string",
            "minLength": 1,
            "title": "Path",
            "description": "A file, a folder, or a folder and a pattern of names such as statements/*.qfx.",
        },
        "transaction_key": {
            "type": "string",
            "enum": ["fitid", "content"],
            "default": "fitid",
            "title": "Transaction key",
            "description": "What tells transactions apart: their number (FITID), or, where an institution numbers anew "
            "in each download, what they tell.",
        },
        "encoding": {
            "type": "string",
            "title": "Encoding",
            "description": "Of the files, if their header declares a wrong one; for instance cp1252.",
        },
    }
    REQUIRED: ClassVar[tuple[str, ...]] = ("path",)

    def __init__(self, settings: Mapping[str, Any], start: date, clock: Callable[[], datetime]) -> None:
        encoding = settings.get("encoding")
        is_keyed_by_content = settings.get("transaction_key", "fitid") == "content"

        def parse_file(_: str, content: bytes) -> Statement:
            return read(content, encoding, is_keyed_by_content=is_keyed_by_content)

        files = Files(Path(settings["path"]), (".ofx", ".qfx"), parse_file)
        super().__init__("ofx", settings, start, clock, [files])
