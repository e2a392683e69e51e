"""Reading cases: validated whole before anything is asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from treadle.evaluate.behaviour.types import Case
from treadle.kernel.config import BehaviourCheck, ScorerConfig
from treadle.kernel.errors import CorruptData, InvalidInput
from treadle.kernel.ids import digest_bytes
from treadle.kernel.names import did_you_mean

_SHOWN = 5
_FIELDS = ("id", "input", "expected")
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MISSING = "(missing)"


class Cases(NamedTuple):
    """The cases of a check.

    Attributes:
        name: What people call them.
        digest: Identifies what is asked and expected.
        cases: They, in their order.
    """

    name: str
    digest: str
    cases: tuple[Case, ...]


class _Wrong(Exception):
    """What is wrong with a case."""


Line = tuple[str, Mapping[str, Any]]
"""Where a case stands, and what stands there."""


def parse(lines: Iterable[Line], check: BehaviourCheck, name: str) -> Cases:
    """Validates cases, all of them, before the first is used.

    Args:
        lines: Where each case stands, such as ``cases.jsonl:3``, and what stands there.
        check: The check that they are of.
        name: What people call them.

    Raises:
        InvalidInput: If there are none, or any can't be used; names the first ones with their places.
    """
    found: list[Case] = []
    places: dict[str, str] = {}
    wrong: list[tuple[str, str]] = []
    for place, raw in lines:
        try:
            case = _case(raw, check)
            _check_scorers(case, check)
            _check_new(case, places)
        except _Wrong as error:
            wrong.append((place, str(error)))
            continue
        places[case.id] = place
        found.append(case)
    if wrong:
        raise _refused(wrong, len(found) + len(wrong))
    if not found:
        raise InvalidInput("there are no cases", where=name, fix="write one JSON object a line")
    return Cases(name, digest(found), tuple(found))


def _refused(wrong: Sequence[tuple[str, str]], count: int) -> InvalidInput:
    (place, first), *others = wrong
    more = "; ".join(f"{where}: {said}" for where, said in others[:_SHOWN])
    rest = f"; and {len(others) - _SHOWN:,} more" if len(others) > _SHOWN else ""
    said = (
        f"{first} ({len(wrong):,} of {count:,} cases can't be used: also {more}{rest})" if others else first
    )
    return InvalidInput(said, where=place, fix="mend the cases; nothing was asked")


def digest(cases: Iterable[Case]) -> str:
    """Identifies cases by all that they say."""
    return digest_bytes(msgspec.json.encode(list(cases), order="deterministic"))


def question(case: Case) -> str:
    """Identifies what is asked of a case, whatever is expected: 32 hexadecimal characters."""
    return digest_bytes(msgspec.json.encode((case.id, case.input), order="deterministic"))[:32]


def json_lines(text: bytes, name: str) -> Iterator[Line]:
    """The objects of a JSON Lines file, each with its place; empty lines are passed over.

    Raises:
        CorruptData: If a line isn't UTF-8 or no JSON object.
    """
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            raw = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CorruptData(
                f"the line is no JSON: {error}", where=place, fix="write one JSON object a line, in UTF-8"
            ) from None
        if not isinstance(raw, dict):
            raise CorruptData(
                "the line is no JSON object", where=place, fix='write {"id": ..., "input": ...}'
            )
        yield place, raw


# ── one case ─────────────────────────────────────────────────────────────


def _case(raw: Mapping[str, Any], check: BehaviourCheck) -> Case:
    names = {field: check.fields.get(field, field) for field in _FIELDS}
    for field in ("id", "input"):
        if raw.get(names[field]) is None:
            hint = did_you_mean(names[field], [key for key in raw if key not in names.values()])
            near = f" ({hint})" if hint and "did you mean" in hint else ""
            raise _Wrong(f"it has no {names[field]!r}{near}")
    identity = raw[names["id"]]
    if isinstance(identity, bool) or not isinstance(identity, str | int) or identity == "":
        raise _Wrong(f"{names['id']!r} is neither text nor a whole number")
    _check_input(raw[names["input"]], names["input"])
    taken = {*names.values(), "tags", "scorers"}
    return Case(
        id=str(identity),
        input=raw[names["input"]],
        expected=raw.get(names["expected"]),
        tags=_tags(raw.get("tags")),
        scorers=_scorers(raw.get("scorers")),
        extra={key: value for key, value in raw.items() if key not in taken},
    )


def _check_new(case: Case, places: Mapping[str, str]) -> None:
    if case.id in places:
        raise _Wrong(f"the id {case.id!r} is that of {places[case.id]}")


def _check_input(given: Any, name: str) -> None:
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        return
    if not any("role" in one for one in given):
        return  # a list of something else
    for place, message in enumerate(given):
        if message.get("role") not in _ROLES:
            hint = did_you_mean(str(message.get("role")), _ROLES)
            raise _Wrong(f"message {place} of {name!r} has the role {message.get('role')!r} ({hint})")
        if "content" not in message and "tool_calls" not in message:
            raise _Wrong(f"message {place} of {name!r} has no content")


def _tags(given: Any) -> dict[str, str] | list[str]:
    if given is None:
        return {}
    if isinstance(given, list) and all(isinstance(one, str) for one in given):
        return sorted(set(given))
    if isinstance(given, dict) and all(isinstance(one, str | int | float) for one in given.values()):
        return {key: _text(value) for key, value in given.items()}
    raise _Wrong("'tags' is neither a list of names nor an object of names and values")


def _scorers(given: Any) -> list[str] | dict[str, dict[str, Any]]:
    if given is None:
        return []
    if isinstance(given, list) and given and all(isinstance(one, str) for one in given):
        return given
    if isinstance(given, dict) and all(isinstance(one, dict) for one in given.values()):
        return given
    raise _Wrong("'scorers' is neither a list of names nor an object of scorers and their keys")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# ── what a case says of scorers ──────────────────────────────────────────


def scorers_of(case: Case, check: BehaviourCheck) -> dict[str, ScorerConfig]:
    """The scorers that look at a case, with what it changes of them.

    Raises:
        ValueError: If it names one that there isn't, or a key that it doesn't have.
    """
    if isinstance(case.scorers, list):
        names = case.scorers or list(check.scorers)
        return {name: check.scorers[name] for name in names}
    return {name: _changed(one, case.scorers.get(name, {})) for name, one in check.scorers.items()}


def _changed(scorer: ScorerConfig, keys: Mapping[str, Any]) -> ScorerConfig:
    if not keys:
        return scorer
    return msgspec.convert({**msgspec.to_builtins(scorer), **keys}, ScorerConfig)


_EXPECTING = {"exact", "number", "similarity"}


def _check_scorers(case: Case, check: BehaviourCheck) -> None:
    for name in case.scorers:
        if name not in check.scorers:
            raise _Wrong(f"there is no scorer {name!r} ({did_you_mean(name, check.scorers)})")
    if isinstance(case.scorers, dict):
        for name, keys in case.scorers.items():
            if "bound" in keys or "kind" in keys:
                raise _Wrong(f"a case can't change `kind` or `bound` of the scorer {name!r}")
    try:
        scorers = scorers_of(case, check)
    except msgspec.ValidationError as error:
        raise _Wrong(f"what 'scorers' says can't be used: {error}") from None
    for name, scorer in scorers.items():
        _check_expected(case, name, scorer)


def _check_expected(case: Case, name: str, scorer: ScorerConfig) -> None:
    kind, expected = scorer.kind, case.expected
    given = {"regex": scorer.pattern, "contains": scorer.values, "json_schema": scorer.schema}.get(kind)
    needs = kind in _EXPECTING or (kind in {"regex", "contains", "json_schema"} and given is None)
    if kind == "judge" and "{expected}" in str(scorer.rubric):
        needs = True
    if needs and expected is None:
        raise _Wrong(f"it has nothing that is expected, which the scorer {name!r} ({kind}) needs")
    if not needs or expected is None:
        return
    right = {
        "number": isinstance(expected, int | float) and not isinstance(expected, bool),
        "regex": isinstance(expected, str),
        "similarity": isinstance(expected, str) or _texts(expected),
        "contains": isinstance(expected, str) or _texts(expected),
        "json_schema": isinstance(expected, dict | bool),
    }.get(kind, True)
    if not right or (isinstance(expected, float) and not math.isfinite(expected)):
        raise _Wrong(
            f"what is expected is a {type(expected).__name__}, of which {name!r} ({kind}) makes nothing"
        )


def _texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


# ── groups ───────────────────────────────────────────────────────────────


def groups_of(case: Case, by: Sequence[str]) -> list[str]:
    """The groups that a case belongs to, such as ``topic=billing``.

    A name of ``by`` is a tag with a value, a column beside the case, or ``tags`` for each of its tags.
    """
    found = []
    for name in by:
        if isinstance(case.tags, dict) and name in case.tags:
            found.append(f"{name}={case.tags[name]}")
        elif name == "tags" and case.tags:
            tags = case.tags if isinstance(case.tags, list) else [f"{k}={v}" for k, v in case.tags.items()]
            found += [f"tags={tag}" for tag in tags]
        elif isinstance(case.extra.get(name), str | int | float):
            found.append(f"{name}={_text(case.extra[name])}")
        else:
            found.append(f"{name}={MISSING}")
    return found


def check_groups(cases: Cases, by: Sequence[str]) -> None:
    """Refuses a group column that no case has.

    Raises:
        InvalidInput: Naming the nearest that there is.
    """
    for name in by:
        if all(groups_of(case, [name]) == [f"{name}={MISSING}"] for case in cases.cases):
            known = {
                key
                for case in cases.cases
                for key in (*case.extra, *(case.tags if isinstance(case.tags, dict) else ()))
            }
            if any(case.tags for case in cases.cases):
                known.add("tags")
            raise InvalidInput(
                f"no case of {cases.name} has a tag or column {name!r}",
                where="treadle.toml [checks.behaviour] by",
                fix=did_you_mean(name, known),
            )
