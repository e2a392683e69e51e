"""Whether an answer is JSON of a certain form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from treadle.evaluate.behaviour.scorers.port import passed, shown
from treadle.evaluate.behaviour.types import Case, Score
from treadle.kernel.config import ScorerConfig
from treadle.kernel.errors import ConfigError, MissingExtra


class JsonSchema:
    """Whether an answer keeps to a JSON schema; of the draft that its ``$schema`` names, else 2020-12.

    References lead within the schema only: nothing is fetched.

    Args:
        config: Which.
        root: The project's folder.
        where: The key of ``treadle.toml`` that declares it.

    Raises:
        ConfigError: If the file can't be read, or is no schema.
        MissingExtra: If jsonschema isn't installed.
    """

    def __init__(self, config: ScorerConfig, root: Path, where: str) -> None:
        self._validator: Any = None
        if config.schema is not None:
            path = root / config.schema
            try:
                schema = msgspec.json.decode(path.read_bytes())
                self._validator = _validator(schema)
            except OSError as error:
                raise ConfigError(
                    f"{path.name} can't be read: {error.strerror}", where=f"{where} schema"
                ) from None
            except (msgspec.DecodeError, ValueError) as error:
                raise ConfigError(
                    f"{path.name} is no JSON schema: {error}", where=f"{where} schema"
                ) from None

    def score(self, case: Case, answer: Any) -> Score:
        """1 if it does, else 0; a schema of the case that is none can't be told."""
        try:
            value = msgspec.json.decode(answer) if isinstance(answer, str) else answer
        except msgspec.DecodeError as error:
            return Score(value=0.0, reason=f"{shown(answer)} is no JSON: {error}")
        import referencing.exceptions
        from jsonschema.exceptions import best_match

        try:
            validator = self._validator or _validator(case.expected)
            wrong = best_match(validator.iter_errors(value))
        except (ValueError, referencing.exceptions.Unresolvable) as error:
            return Score(reason=f"the schema can't be used: {error}")
        if wrong is None:
            return Score(value=1.0)
        return passed(False, f"{wrong.json_path}: {shown(wrong.message)}")


def _validator(schema: Any) -> Any:
    """What validates; raises :class:`ValueError` if the schema is none."""
    try:
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import Draft202012Validator, validator_for
        from referencing import Registry
    except ImportError:
        raise MissingExtra("schemas need jsonschema", fix="pip install 'treadle[platform]'") from None
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"{error.json_path}: {error.message}") from None
    return kind(schema, registry=Registry(), format_checker=kind.FORMAT_CHECKER)
