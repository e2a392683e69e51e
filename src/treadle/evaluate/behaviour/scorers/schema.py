"""Whether an answer is JSON of a certain form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from treadle.evaluate.behaviour.scorers.patterns import Matcher, TooSlow
from treadle.evaluate.behaviour.scorers.port import passed, shown
from treadle.evaluate.behaviour.scorers.trying import validator
from treadle.evaluate.behaviour.targets.paths import as_text
from treadle.evaluate.behaviour.types import Case, Score
from treadle.kernel.config import ScorerConfig
from treadle.kernel.errors import ConfigError


class JsonSchema:
    """Whether an answer keeps to a JSON schema; of the draft that its ``$schema`` names, else 2020-12.

    References lead within the schema only: nothing is fetched.

    Args:
        config: Which.
        root: The project's folder.
        where: The key of ``treadle.toml`` that declares it.
        matcher: What holds answers against it.

    Raises:
        ConfigError: If the file can't be read, or is no schema.
        MissingExtra: If jsonschema isn't installed.
    """

    def __init__(self, config: ScorerConfig, root: Path, where: str, matcher: Matcher) -> None:
        self._matcher, self._schema = matcher, ""
        if config.schema is not None:
            path = root / config.schema
            try:
                self._schema = path.read_text("utf-8")
                validator(self._schema)
            except OSError as error:
                raise ConfigError(
                    f"{path.name} can't be read: {error.strerror}", where=f"{where} schema"
                ) from None
            except ValueError as error:
                raise ConfigError(
                    f"{path.name} is no JSON schema: {error}", where=f"{where} schema"
                ) from None

    def score(self, case: Case, answer: Any) -> Score:
        """1 if it does, else 0; a schema of the case that is none, or finds no end, can't be told."""
        try:
            value = msgspec.json.decode(answer) if isinstance(answer, str) else answer
        except msgspec.DecodeError as error:
            return Score(value=0.0, reason=f"{shown(answer)} is no JSON: {error}")
        schema = self._schema or as_text(case.expected)
        try:
            validator(schema)
            wrong = self._matcher.wrong(schema, value)
        except TooSlow as error:
            return Score(reason=f"{shown(as_text(answer))}: {error}")
        except ValueError as error:
            return Score(reason=f"the schema can't be used: {error}")
        return passed(not wrong, f"{wrong[0]}: {shown(wrong[1])}" if wrong else "")
