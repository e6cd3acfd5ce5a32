"""The rules for names, as functions that tell what breaks them: of keys, columns, checks, jobs, schedules, sensors.

Does not belong here: what is named (``test_keys`` asks about all of it, ``test_naming`` plants faults).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import dagster as dg
from pandera.api.polars.components import Column

from bentleybot_assets.wiring.vocabulary import CADENCES, COMPUTES, GROUPS, OWNERS, STORAGES, UNITS

SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
DATED = re.compile(r"(.*_)?(session|date)|(valid|serves)_(from|to)|train_(start|end)")

ORDERS = {
    *("assert", "check", "compare", "count", "detect", "ensure", "find", "flag", "reject", "require"),
    *("test", "validate", "verify", "warn"),
    *("are", "can", "do", "does", "has", "have", "is", "must", "should"),
}
"""How the name of a check does not begin: with an order to whoever runs it, or with a question."""

VERB = re.compile(
    "is|are|was|has|have|succeeded|(match|reach)(es)?|(add|agree|begin|come|cover|differ|end|equal|fill|fit|follow|"
    "grow|hold|keep|lead|lie|need|rank|rise|serve|stay|sum)s?"
)
"""What a statement says of its subject. A check that needs another verb adds it here."""

IRREGULAR = {"begun", "gone", "grown", "known", "lost", "made", "met", "run", "sent"}
"""Participles that do not end in -ed."""


def key_faults(key: dg.AssetKey) -> Iterator[str]:
    """``group/table``, or ``raw/connection/stream``."""
    if key.path[0] not in GROUPS:
        yield f"{key.path[0]} is no group; there are {', '.join(GROUPS)}"
    if len(key.path) != (3 if key.path[0] == "raw" else 2):
        yield f"{'/'.join(key.path)} has {len(key.path)} parts"
    for part in key.path:
        if not SNAKE_CASE.fullmatch(part):
            yield f"{part} is not snake_case"


def asset_faults(spec: dg.AssetSpec) -> Iterator[str]:
    """Group, owner, kinds and description of an asset."""
    group = spec.key.path[0]
    if spec.group_name != group:
        yield f"its group is {spec.group_name}"
    if list(spec.owners) != [OWNERS.get(group)]:
        yield f"its owners are {list(spec.owners)}"
    one_compute_one_storage = len(spec.kinds & set(COMPUTES)) == 1 and len(spec.kinds & set(STORAGES)) == 1
    if len(spec.kinds) != 2 or not (one_compute_one_storage or spec.kinds == {"scikitlearn", "mlflow"}):
        yield f"its kinds are {sorted(spec.kinds)}"
    if len((spec.description or "").partition("\n")[0]) <= 20:
        yield f"its description is {spec.description!r}"


def column_faults(columns: Mapping[str, Column]) -> Iterator[str]:
    """Names of a table's columns against their types and units."""
    for name, column in columns.items():
        if not SNAKE_CASE.fullmatch(name):
            yield f"{name} is not snake_case"
        if not column.description:
            yield f"{name} has no description"
        yield from _type_faults(name, str(column.dtype.type))
        yield from _unit_faults(name, (column.metadata or {}).get("unit"), columns)


def _type_faults(name: str, dtype: str) -> Iterator[str]:
    if dtype.startswith("Datetime") != name.endswith("_at"):
        yield f"{name} is of type {dtype}, but instants and only they end in _at"
    if dtype == "Date" and not DATED.fullmatch(name):
        yield f"{name} is a day, but neither a session nor a date by its name"
    if (dtype == "Boolean") != name.startswith(("is_", "has_")):
        yield f"{name} is of type {dtype}, but booleans and only they start with is_ or has_"


def _unit_faults(name: str, unit: str | None, columns: Collection[str]) -> Iterator[str]:
    if unit is not None and unit not in UNITS:
        yield f"{name} has the unit {unit}; there are {', '.join(UNITS)}"
    due = UNITS.get(unit or "")
    if due and not name.endswith(due):
        yield f"{name} is in {unit}, but does not end in {due}"
    for suffix in UNITS.values():
        if suffix and suffix != due and name.endswith(suffix):
            yield f"{name} ends in {suffix}, but its unit is {unit}"
    if unit == "currency" and "currency" not in columns:
        yield f"{name} is in the row's currency, but no column says which"


def check_faults(name: str, description: str | None) -> Iterator[str]:
    """A statement that is true when the check passes: ``no`` something, or a subject and what it does."""
    first, *others = name.split("_")
    if not SNAKE_CASE.fullmatch(name):
        yield f"{name} is not snake_case"
    if first in ORDERS:
        yield f"{name} begins with {first}: an order or a question, not a statement"
    if len(others) < 2:
        yield f"{name} is no statement: it has fewer than three words"
    elif first != "no" and not any(map(VERB.fullmatch, others)):
        yield f"{name} is no statement: no word of it is a VERB"
    if not description:
        yield f"{name} has no description"


def job_faults(name: str, description: str | None, *, scheduled: bool, tables: Collection[str]) -> Iterator[str]:
    """``<group>_<cadence>_job``; a job that no schedule starts has no cadence and names a table of its group."""
    if not description:
        yield f"{name} has no description"
    named = re.fullmatch(rf"({'|'.join(GROUPS)})_(.+)_job", name)
    if not named:
        yield f"{name} is not <group>_<cadence>_job"
        return
    group, what = named.groups()
    if scheduled and what not in CADENCES:
        yield f"{name} has a schedule, but no cadence; there are {', '.join(CADENCES)}"
    if not scheduled and what in CADENCES:
        yield f"{name} has a cadence, but no schedule"
    if not scheduled and not any(re.fullmatch(rf"{group}/(.+_)?{what}(_.+)?", table) for table in tables):
        yield f"{name} is started on demand, but names no table of {group}"


def schedule_faults(schedule: Any) -> Iterator[str]:
    """Named as its job is, and it says in which timezone it means its times."""
    if schedule.name != re.sub("_job$", "_schedule", schedule.job_name):
        yield f"{schedule.name} starts {schedule.job_name}, but is not named so"
    if not schedule.execution_timezone:
        yield f"{schedule.name} has no timezone"
    if not schedule.description:
        yield f"{schedule.name} has no description"


def sensor_faults(name: str, description: str | None) -> Iterator[str]:
    """``<what_happened>_sensor``: a subject and a participle."""
    named = re.fullmatch(r"[a-z_]+_([a-z]+)_sensor", name)
    if not named or not (named[1].endswith(("ed", "en")) or named[1] in IRREGULAR):
        yield f"{name} is not <what_happened>_sensor"
    if not description:
        yield f"{name} has no description"
