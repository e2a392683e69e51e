"""What runs in the process of patterns; see :mod:`treadle.evaluate.behaviour.scorers.patterns`."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from treadle.kernel.errors import MissingExtra


def search(pattern: str, text: str, whole: bool) -> bool:
    """Whether a text matches, or has a part that does."""
    compiled = re.compile(pattern)
    return (compiled.fullmatch if whole else compiled.search)(text) is not None


def validate(schema: str, value: Any) -> list[str]:
    """What in a value doesn't keep to a schema: where, and why; nothing if all does."""
    from jsonschema.exceptions import best_match

    found = best_match(validator(schema).iter_errors(value))
    return [] if found is None else [found.json_path, found.message]


@functools.lru_cache(64)
def validator(schema: str) -> Any:
    """What validates by a schema; of the draft that its ``$schema`` names, else 2020-12.

    Args:
        schema: The schema, as JSON.

    Raises:
        ValueError: If it is none.
        MissingExtra: If jsonschema isn't installed.
    """
    try:
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import Draft202012Validator, validator_for
        from referencing import Registry
    except ImportError:
        raise MissingExtra("schemas need jsonschema", fix="pip install 'treadle[platform]'") from None
    loaded = json.loads(schema)
    kind = validator_for(loaded, default=Draft202012Validator)
    try:
        kind.check_schema(loaded)
    except SchemaError as error:
        raise ValueError(f"{error.json_path}: {error.message}") from None
    return kind(loaded, registry=Registry(), format_checker=kind.FORMAT_CHECKER)
