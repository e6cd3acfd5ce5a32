"""What is wrong with a source's configuration, said without its values: some of them are secret.

Does not belong here: whether what it names can be read (each source's own check).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError


def problem_of(config: Mapping[str, Any], specification: Mapping[str, Any]) -> str | None:
    """Where a configuration breaks its specification, and what would be right; None if it does not.

    Args:
        config: as the settings have it.
        specification: the JSON schema of the source's spec.
    """
    from jsonschema import Draft7Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft7Validator(specification).iter_errors(config))
    if error is None:
        return None
    error = _in_its_kind(error)
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    return f"its configuration{where and ' at ' + where.lstrip('.')} {_rule(error)}"


def _in_its_kind(error: ValidationError) -> ValidationError:
    """Of an entry that may have one of several forms, the error in the form of its own ``kind``."""
    from jsonschema.exceptions import best_match

    while error.validator in {"oneOf", "anyOf"} and isinstance(error.instance, Mapping):
        kinds = [form.get("properties", {}).get("kind", {}).get("const") for form in error.validator_value]
        kind = error.instance.get("kind")
        if kind not in kinds:
            return error
        error = best_match(inner for inner in error.context or () if inner.schema_path[0] == kinds.index(kind))
    return error


def _rule(error: ValidationError) -> str:
    known = ", ".join(sorted(error.schema.get("properties", {})))
    match error.validator:
        case "additionalProperties":
            strange = sorted(set(error.instance) - set(error.schema.get("properties", {})))
            return f"has {', '.join(strange)}, which it does not know; it knows {known}."
        case "required":
            return f"lacks {', '.join(name for name in error.validator_value if name not in error.instance)}."
        case "oneOf" | "anyOf":
            kinds = (form.get("properties", {}).get("kind", {}).get("const") for form in error.validator_value)
            return f"must have a `kind`: {', '.join(sorted(filter(None, kinds)))}."
        case "enum":
            return f"must be one of {', '.join(map(str, error.validator_value))}."
        case "type":
            types = error.validator_value
            return f"must be of type {types if isinstance(types, str) else ' or '.join(types)}."
        case _:
            return f"breaks the rule {error.validator}: {error.validator_value}."
