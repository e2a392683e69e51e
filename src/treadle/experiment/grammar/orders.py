"""Orders into keys, and what is added so that an order is total.

A key is a field and, if wanted, ``ASC`` or ``DESC``. Where MLflow refuses a field named twice
(runs, registered models, versions) so do these; where it lets it pass, the first one counts,
since a second can't change anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from treadle.experiment.grammar import fields
from treadle.experiment.grammar.fields import TEXT, Grammar, attributes, resolve
from treadle.experiment.grammar.tokens import Token, refuse, show, tokenize
from treadle.experiment.grammar.types import LoggedModelOrder, Ordering, OrderKey

RUNS = Ordering(
    default=(),
    ties=(OrderKey("attribute", "start_time", ascending=False), OrderKey("attribute", "run_id")),
)
EXPERIMENTS = Ordering(
    default=(OrderKey("attribute", "creation_time", ascending=False), OrderKey("attribute", "experiment_id")),
    ties=(OrderKey("attribute", "experiment_id", ascending=False),),
)
MODELS = Ordering(default=(), ties=(OrderKey("attribute", "name"),))
VERSIONS = Ordering(
    default=(OrderKey("attribute", "last_updated_timestamp", ascending=False),),
    ties=(OrderKey("attribute", "name"), OrderKey("attribute", "version_number", ascending=False)),
)
LOGGED_MODELS = Ordering(
    default=(),
    ties=(OrderKey("attribute", "creation_timestamp", ascending=False), OrderKey("attribute", "model_id")),
)

_RUNS = Grammar(
    entities={name: entity for name, entity in fields.RUN_ENTITIES.items() if entity != "dataset"},
    closed={"attribute": fields.RUNS.closed["attribute"]},
    open=fields.RUNS.open,
)
_EXPERIMENTS = Grammar(
    entities={"attribute": "attribute"},
    closed={"attribute": fields.EXPERIMENTS.closed["attribute"]},
    open={},
)
_MODELS = Grammar(
    entities={},
    closed={
        "attribute": attributes(
            {"name": TEXT, "last_updated_timestamp": TEXT}, {"timestamp": "last_updated_timestamp"}
        )
    },
    open={},
)
_VERSION_KEYS = ("name", "version_number", "creation_timestamp", "last_updated_timestamp")
_VERSIONS = Grammar(
    entities={"attribute": "attribute"},
    closed={"attribute": attributes(dict.fromkeys(_VERSION_KEYS, TEXT))},
    open={},
)
_LOGGED_MODELS = Grammar(
    entities={"metrics": "metric"},
    closed={"attribute": fields.LOGGED_ATTRIBUTES},
    open={"metric": TEXT},
)


def parse_run_order(order_by: Sequence[str]) -> tuple[OrderKey, ...]:
    """The keys of an order of runs, as far as it was asked for.

    Raises:
        InvalidInput: If a key isn't one, or a field stands twice.
    """
    return _parse(order_by, _RUNS, twice=False)


def parse_experiment_order(order_by: Sequence[str]) -> tuple[OrderKey, ...]:
    """The same for experiments."""
    return _parse(order_by, _EXPERIMENTS, twice=True)


def parse_model_order(order_by: Sequence[str]) -> tuple[OrderKey, ...]:
    """The same for registered models; ``timestamp`` is ``last_updated_timestamp``."""
    return _parse(order_by, _MODELS, twice=False)


def parse_version_order(order_by: Sequence[str]) -> tuple[OrderKey, ...]:
    """The same for model versions."""
    return _parse(order_by, _VERSIONS, twice=False)


def parse_logged_model_order(order_by: Sequence[LoggedModelOrder]) -> tuple[OrderKey, ...]:
    """The same for logged models: a metric's key is what follows the first dot, quoted or not."""
    found: dict[tuple[str, ...], OrderKey] = {}
    for number, asked in enumerate(order_by, start=1):
        entity, dot, key = asked.field_name.partition(".")
        if len(key) > 1 and key[0] == key[-1] == "`":
            key = key[1:-1]
        name = Token(
            "word", 0, asked.field_name, key if dot else entity, entity if dot else None, quoted=True
        )
        field = resolve(name, _LOGGED_MODELS, f"order_by {number}")
        dataset = (asked.dataset_name, asked.dataset_digest) if field.entity == "metric" else (None, None)
        order = OrderKey(field.entity, field.key, asked.ascending, *dataset)
        found.setdefault((field.entity, field.key, *(part or "" for part in dataset)), order)
    return tuple(found.values())


def complete(keys: Sequence[OrderKey], ordering: Ordering) -> tuple[OrderKey, ...]:
    """The keys, or the default where there are none, and the ties that aren't among them."""
    asked = tuple(keys) or ordering.default
    named = {(key.entity, key.key) for key in asked}
    return (*asked, *(tie for tie in ordering.ties if (tie.entity, tie.key) not in named))


def _parse(order_by: Sequence[str], grammar: Grammar, *, twice: bool) -> tuple[OrderKey, ...]:
    found: dict[tuple[str, str], OrderKey] = {}
    for number, text in enumerate(order_by, start=1):
        source = f"order_by {number}"
        order = _key(text, grammar, source)
        if (order.entity, order.key) in found and not twice:
            what = f"the {order.entity} {show(order.key)} is ordered by twice"
            refuse(what, source, 0, "name each field once")
        found.setdefault((order.entity, order.key), order)
    return tuple(found.values())


def _key(text: str, grammar: Grammar, source: str) -> OrderKey:
    name, *rest = tokenize(text, source)
    if name.kind == "string" and name.text[0] == '"':
        name = Token("word", name.at, name.text, name.value, quoted=True)
    if name.kind != "word":
        refuse("a field is expected here", source, name.at, "write a field, then ASC or DESC if wanted")
    field = resolve(name, grammar, source)
    direction = rest[0]
    if direction.kind == "end":
        return OrderKey(field.entity, field.key)
    if direction.keyword not in {"ASC", "DESC"}:
        refuse(f"{show(direction.text)} isn't a direction", source, direction.at, "write ASC or DESC")
    if rest[1].kind != "end":
        what = f"{show(rest[1].text)} is too much"
        refuse(what, source, rest[1].at, "give each field as an item of its own, with ASC or DESC at most")
    return OrderKey(field.entity, field.key, direction.keyword == "ASC")
