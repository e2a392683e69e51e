"""What can be named in each of the five grammars, and how each may be compared.

The tables are MLflow's. An alias maps to the canonical name, which is what the rest sees.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from treadle.experiment.grammar.tokens import Token, refuse, show
from treadle.experiment.grammar.types import Entity, Op
from treadle.kernel.names import did_you_mean

_PLAIN = re.compile(r"[\w.*]+")
_LOOSE = re.compile(r"[\w.*/-]+")


class Rule(msgspec.Struct, frozen=True):
    """How a field may be compared.

    Attributes:
        ops: The operators.
        value: What may stand on the right: quoted text; a number taken as a float; an integer
            or a float; an integer; an integer that may be quoted; an integer that must be; a number,
            or quoted text.
    """

    ops: tuple[Op, ...]
    value: Literal[
        "text", "float", "number", "integer", "integer or text", "integer as text", "number or text"
    ] = "text"


class Field(msgspec.Struct, frozen=True):
    """A field by its canonical name, with its rule."""

    entity: Entity
    key: str
    rule: Rule


class Grammar(msgspec.Struct, frozen=True):
    """What one kind of search understands.

    Attributes:
        entities: What may stand before a dot, and what each means.
        closed: For entities whose keys are known: each key and its field.
        open: For entities whose keys are the user's own: the rule for all of them.
        loose: Whether text may stand without quotes, and keys with ``/`` and ``-`` too,
            as MLflow has it for logged models alone.
    """

    entities: Mapping[str, Entity]
    closed: Mapping[Entity, Mapping[str, Field]]
    open: Mapping[Entity, Rule]
    loose: bool = False


_SIGNS: tuple[Op, ...] = ("=", "!=", ">", ">=", "<", "<=")
TEXT = Rule(("=", "!=", "LIKE", "ILIKE"))
_LISTED = Rule((*TEXT.ops, "IN", "NOT IN"))
_OPTIONAL = Rule((*TEXT.ops, "IS NULL", "IS NOT NULL"))
_FLOAT = Rule(_SIGNS, "float")
_NUMBER = Rule(_SIGNS, "number")
_INTEGER = Rule(_SIGNS, "integer")
_VERSION = Rule(_SIGNS, "integer or text")
_ID = Rule(("=", "!=", "IN", "NOT IN"), "integer as text")


def attributes(rules: Mapping[str, Rule], aliases: Mapping[str, str] | None = None) -> dict[str, Field]:
    """The fields of attributes, under their own names and their aliases."""
    fields = {key: Field("attribute", key, rule) for key, rule in rules.items()}
    return fields | {alias: fields[key] for alias, key in (aliases or {}).items()}


RUN_ENTITIES: dict[str, Entity] = {
    **dict.fromkeys(("metrics", "metric"), "metric"),
    **dict.fromkeys(("params", "param", "parameters", "parameter"), "param"),
    **dict.fromkeys(("tags", "tag"), "tag"),
    **dict.fromkeys(("attributes", "attribute", "attr", "run"), "attribute"),
    **dict.fromkeys(("datasets", "dataset"), "dataset"),
}
RUN_ALIASES = {
    "created": "start_time",
    "Created": "start_time",
    "run name": "run_name",
    "Run name": "run_name",
    "Run Name": "run_name",
}
_TAGGED: dict[str, Entity] = {"attribute": "attribute", "tags": "tag", "tag": "tag"}
LOGGED_ALIASES = {
    "creation_time": "creation_timestamp",
    "creation_timestamp_ms": "creation_timestamp",
    "last_updated_timestamp_ms": "last_updated_timestamp",
}
_LOGGED_TEXT = (
    *("name", "model_id", "source_run_id", "status", "model_type"),
    *("experiment_id", "artifact_location", "lifecycle_stage", "status_message"),
)
LOGGED_ATTRIBUTES = attributes(
    dict.fromkeys(_LOGGED_TEXT, _LISTED) | {"creation_timestamp": _NUMBER, "last_updated_timestamp": _NUMBER},
    LOGGED_ALIASES,
)

RUNS = Grammar(
    entities=RUN_ENTITIES,
    closed={
        "attribute": attributes(
            dict.fromkeys(("run_name", "user_id", "status", "artifact_uri"), TEXT)
            | {"run_id": _LISTED, "start_time": _NUMBER, "end_time": _NUMBER},
            RUN_ALIASES,
        ),
        "dataset": {key: Field("dataset", key, _LISTED) for key in ("name", "digest", "context")},
    },
    open={"metric": _FLOAT, "param": _OPTIONAL, "tag": _OPTIONAL},
)
LISTED_RUNS = Grammar(
    entities=RUN_ENTITIES,
    closed=RUNS.closed,
    open={
        **RUNS.open,
        "param": Rule((*_SIGNS, *_LISTED.ops[2:], "IS NULL", "IS NOT NULL"), "number or text"),
    },
)
EXPERIMENTS = Grammar(
    entities=_TAGGED,
    closed={
        "attribute": attributes(
            {"name": TEXT, "experiment_id": _ID, "creation_time": _INTEGER, "last_update_time": _INTEGER}
        )
    },
    open={"tag": _OPTIONAL},
)
MODELS = Grammar(entities=_TAGGED, closed={"attribute": attributes({"name": _LISTED})}, open={"tag": TEXT})
VERSIONS = Grammar(
    entities=_TAGGED,
    closed={
        "attribute": attributes(
            {"name": _LISTED, "run_id": _LISTED, "source_path": TEXT, "version_number": _VERSION}
        )
    },
    open={"tag": TEXT},
)
LOGGED_MODELS = Grammar(
    entities={"attributes": "attribute", "metrics": "metric", "params": "param", "tags": "tag"},
    closed={"attribute": LOGGED_ATTRIBUTES},
    open={"metric": _FLOAT, "param": _LISTED, "tag": _LISTED},
    loose=True,
)


def resolve(token: Token, grammar: Grammar, source: str) -> Field:
    """The field that a word names.

    Raises:
        InvalidInput: If the grammar has no such entity or key, or the key needs quotes.
    """
    entity = grammar.entities.get(token.entity) if token.entity is not None else "attribute"
    if entity is None:
        name = token.entity or ""
        written = {entity: name for name, entity in reversed(list(grammar.entities.items()))}
        refuse(f"{show(name)} isn't something to search by", source, token.at, _near(name, written.values()))
    known = grammar.closed.get(entity)
    if known is not None:
        if token.value not in known:
            fix = _near(token.value, {field.key for field in known.values()})
            if token.entity is None and "metric" in grammar.open:
                fix += f"; a metric is written metrics.{token.value[:60]}"
            refuse(f"there is no {entity} {show(token.value)}", source, token.at, fix)
        return known[token.value]
    if not token.value:
        refuse(f"the key of the {entity} is missing", source, token.at, f"write {token.entity}.KEY")
    if not token.quoted and not (_LOOSE if grammar.loose else _PLAIN).fullmatch(token.value):
        fix = f"write {token.entity}.`{token.value[:60]}`"
        refuse(f"the key {show(token.value)} needs quotes", source, token.at, fix)
    return Field(entity, token.value, grammar.open[entity])


def _near(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name[:60].lower(), known) or "leave it out"
