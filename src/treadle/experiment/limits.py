"""What may be logged, as every MLflow client expects it: names, lengths, and how much at once. Pure."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping

from treadle.kernel.errors import InvalidInput

METRICS_AT_ONCE, TEXTS_AT_ONCE, ENTITIES_AT_ONCE = 1000, 100, 1000
PARAM_LENGTH, TAG_LENGTH, EXPERIMENT_TAG_LENGTH = 6000, 8000, 20_000
EXPERIMENT_NAME_LENGTH, KEY_LENGTH = 500, 250
LARGEST_DOUBLE = 1.7976931348623157e308

_LARGEST = 2**63
_LATEST_MS = 9_000_000_000_000_000  # as microseconds still 64 bits
_KEY = re.compile(r"[/\w.\- :]*")
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-.]{0,255}")


def check_key(kind: str, key: str) -> str:
    """The name of a metric, parameter or tag itself, if it may be one.

    It may also be a path: clients that keep runs in folders write it as one.

    Raises:
        InvalidInput: If it is empty, over 250 characters, has characters other than letters,
            digits and ``_ - . : /`` or space, or is no path of its own (``a/../b``, ``/a``).
    """
    if not key or len(key) > KEY_LENGTH:
        raise InvalidInput(f"the name of a {kind} has 1 to {KEY_LENGTH} characters, not {len(key)}")
    if not _KEY.fullmatch(key):
        raise InvalidInput(
            f"{key!r:.80} can't be the name of a {kind}",
            fix="use letters, digits, '_', '-', '.', ':', '/' and spaces",
        )
    plain = posixpath.normpath(key)
    if plain != key or plain == "." or plain.startswith(("..", "/")):
        raise InvalidInput(
            f"{key!r:.80} can't be the name of a {kind}: read as a path it is {plain!r:.80}",
            fix="leave out '..', a leading '/' and doubled slashes",
        )
    return key


def check_run_id(run: str) -> str:
    """A run's identifier itself, if it may be one.

    Raises:
        InvalidInput: If it isn't.
    """
    if not _RUN_ID.fullmatch(run):
        raise InvalidInput(f"{run!r:.80} can't be the identifier of a run")
    return run


def check_experiment_name(name: str) -> str:
    """An experiment's name itself, if it may be one.

    Raises:
        InvalidInput: If it is empty, over 500 characters, or has a NUL.
    """
    if not name or len(name) > EXPERIMENT_NAME_LENGTH or "\0" in name:
        raise InvalidInput(
            f"Invalid experiment name: {name!r:.80}",
            fix=f"use 1 to {EXPERIMENT_NAME_LENGTH} characters",
        )
    return name


def check_experiment_tag(key: str, value: str) -> None:
    """Checks an experiment's tag.

    Raises:
        InvalidInput: If its name can't be one, or its value has over 20,000 characters.
    """
    check_key("tag", key)
    if len(value) > EXPERIMENT_TAG_LENGTH:
        raise InvalidInput(f"a tag of an experiment has up to {EXPERIMENT_TAG_LENGTH} characters", where=key)


def check_amounts(metrics: int, params: int, tags: int) -> None:
    """Checks how much one batch brings.

    Raises:
        InvalidInput: If it is over 1,000 metrics, 100 parameters, 100 tags, or 1,000 of all.
    """
    for what, count, most in (
        ("metrics", metrics, METRICS_AT_ONCE),
        ("params", params, TEXTS_AT_ONCE),
        ("tags", tags, TEXTS_AT_ONCE),
        ("metrics, params and tags", metrics + params + tags, ENTITIES_AT_ONCE),
    ):
        if count > most:
            raise InvalidInput(
                f"a batch has up to {most:,} {what}, not {count:,}", fix="send it in several batches"
            )


def shortened(texts: Mapping[str, str], kind: str, most: int) -> dict[str, str]:
    """Texts with checked names, cut to their length; a NUL goes, because Postgres can't keep one."""
    return {check_key(kind, key): value.replace("\0", "")[:most] for key, value in texts.items()}


def check_new_params(new: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Checks that no parameter changes.

    Raises:
        InvalidInput: If one would; names it and both values.
    """
    for key, value in new.items():
        before = known.get(key, value)
        if before != value:
            raise InvalidInput(
                f"Changing param values is not allowed. Param with key={key!r} was already logged with"
                f" value={before!r:.100}. Attempted logging new value {value!r:.100}",
                fix="a run's parameters never change: start another run, or log it under another name",
            )


def check_moment(milliseconds: int, where: str) -> int:
    """A time in milliseconds since 1970, in microseconds.

    Raises:
        InvalidInput: If it is out of range.
    """
    if not -_LATEST_MS < milliseconds < _LATEST_MS:
        raise InvalidInput(f"{milliseconds} is no time in milliseconds since 1970", where=where)
    return milliseconds * 1000


def check_step(step: int, where: str) -> int:
    """A step itself, if it fits.

    Raises:
        InvalidInput: If it has over 64 bits.
    """
    if not -_LARGEST <= step < _LARGEST:
        raise InvalidInput(f"{step} can't be a step", where=where)
    return step


def beyond(limit: int, most: int) -> InvalidInput:
    """The error for a page that is too small or too large."""
    return InvalidInput(
        f"Invalid value {limit} for parameter 'max_results' supplied: a page has 1 to {most:,} entries"
    )


def deleted_run(run: str) -> InvalidInput:
    """The error for a run that takes nothing, because it was deleted."""
    return InvalidInput(
        f"The run {run} must be in the 'active' state, but it was deleted", fix="restore it first"
    )


def clamped(value: float) -> float:
    """The value; an infinity as the largest double of its sign."""
    return math.copysign(LARGEST_DOUBLE, value) if math.isinf(value) else value
