"""A source's configuration with its secrets put in.

Does not belong here: whether it fits the source (``connectors.configuration``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from bentleybot_assets.resources.airbyte.base import SyncError


def with_secrets(connection: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in which each ``{env: NAME}`` is what that variable holds.

    Raises:
        SyncError: a variable is not set, or empty.
    """
    return {key: _with_secrets(value, f"{connection}: its configuration at {key}") for key, value in config.items()}


def _with_secrets(value: Any, place: str) -> Any:
    if isinstance(value, list):
        return [_with_secrets(entry, f"{place}[{number}]") for number, entry in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    if value.keys() != {"env"} or not isinstance(value["env"], str):
        return {key: _with_secrets(entry, f"{place}.{key}") for key, entry in value.items()}
    if not (secret := dg.EnvVar(value["env"]).get_value()):
        raise SyncError(f"{place} refers to {value['env']}, which neither the environment nor .env sets. Set it.")
    return secret
