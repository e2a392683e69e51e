"""Whether the keys of a behaviour check fit each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from msgspec import NODEFAULT
from msgspec.structs import fields

from treadle.kernel.config.behaviour import BehaviourCheck, ScorerConfig, TargetConfig
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import check_name, did_you_mean

FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
PASS_RATE = "pass_rate"  # noqa: S105 - a measure, no password
LAST = "last"

_OF_KIND: dict[str, tuple[str, ...]] = {
    "exact": ("ignore",),
    "regex": ("pattern", "whole"),
    "contains": ("values", "match", "ignore"),
    "json_schema": ("schema",),
    "number": ("absolute", "relative", "find"),
    "similarity": ("passes", "by", "embedding"),
    "python": ("passes", "call"),
    "judge": ("passes", "rubric", "judges", "scale", "level", "agreement"),
}
_NEEDED: dict[str, tuple[str, ...]] = {
    "similarity": ("passes", "by"),
    "python": ("call",),
    "judge": ("passes", "rubric"),
}
_OF_API: dict[str, tuple[str, ...]] = {
    "call": ("call", "answer"),
    "chat": ("model", "system", "answer", "send_seed"),
    "embeddings": ("model",),
    "json": ("body", "answer"),
}
_OF_ALL = ("params", "timeout", "concurrency", "rate", "input_price", "output_price", "call_price")
_OF_HTTP = ("url", "api", "headers", "key_env", "key_header", "retries")
_API_NEEDS: dict[str, tuple[str, ...]] = {
    "call": (),
    "chat": ("url", "model"),
    "embeddings": ("url", "model"),
    "json": ("url", "body", "answer"),
}


class Problem(NamedTuple):
    """What doesn't fit.

    Attributes:
        keys: Where, below ``[checks.behaviour]``.
        message: What is wrong.
        fix: What to do.
    """

    keys: tuple[str, ...]
    message: str
    fix: str | None = None


def problems(checks: dict[str, BehaviourCheck]) -> Iterator[Problem]:
    """What doesn't fit in some behaviour checks, by name."""
    for name, check in checks.items():
        for problem in (*_names("behaviour check", (name,)), *_of_check(check)):
            yield problem._replace(keys=(name, *problem.keys))


def _names(kind: str, names: tuple[str, ...], *below: str) -> Iterator[Problem]:
    for name in names:
        try:
            check_name(kind, name)
        except InvalidInput as error:
            yield Problem((*below, *([name] if below else [])), error.message, error.fix)


def _of_check(check: BehaviourCheck) -> Iterator[Problem]:
    yield from _names("scorer", tuple(check.scorers), "scorers")
    yield from _names("judge", tuple(check.judges), "judges")
    yield from _target(check.target, "target")
    if not (isinstance(check.baseline, str) and not _looks_like_a_function(check.baseline)):
        yield from _target(check.baseline, "baseline")
    for name, judge in check.judges.items():
        yield from _target(judge, "judges", name)
    for name, scorer in check.scorers.items():
        for problem in _scorer(scorer, check):
            yield problem._replace(keys=("scorers", name, *problem.keys))
    yield from _measured(check)
    if check.stop_early is not None:
        yield from _early(check)


def _looks_like_a_function(text: str) -> bool:
    return ":" in text or "." in text


def _target(target: str | TargetConfig | None, *keys: str) -> Iterator[Problem]:
    if isinstance(target, str):
        yield from _function(target, *keys)
    elif target is not None and target.call is not None and target.url is not None:
        yield Problem((*keys, "call"), "a target is a function (call) or an endpoint (url), not both")
    elif target is not None and target.call is None and target.url is None:
        yield Problem(keys, "a target needs a function (call) or an endpoint (url)")
    elif target is not None:
        yield from _asked(target, *keys)


def _function(text: str, *keys: str) -> Iterator[Problem]:
    if not FUNCTION.fullmatch(text):
        yield Problem(keys, f"{text!r} is no Python function", "write it as package.module:function")


def _asked(target: TargetConfig, *keys: str) -> Iterator[Problem]:
    kind = "call" if target.call is not None else target.api
    if target.call is not None:
        yield from _function(target.call, *keys, "call")
    if target.url is not None and not re.match(r"https?://[^/\s]+", target.url):
        yield Problem((*keys, "url"), f"{target.url!r} is no address", "begin it with https:// or http://")
    elif target.url is not None and "@" in target.url.split("/")[2]:
        yield Problem((*keys, "url"), "an address holds no password", "name the key's variable in `key_env`")
    for key in _API_NEEDS[kind]:
        if not getattr(target, key):
            yield Problem(keys, f"a target with api {kind!r} needs `{key}`")
    allowed = (*_OF_API[kind], *(() if kind == "call" else _OF_HTTP), *_OF_ALL)
    said = "a Python function takes" if kind == "call" else f"api {kind!r} takes"
    for key in _given(target):
        if key not in allowed:
            yield Problem((*keys, key), f"{said} no `{key}`", f"it takes {', '.join(allowed)}")


def _given(table: TargetConfig | ScorerConfig) -> Iterator[str]:
    """The keys that aren't at their default."""
    for one in fields(table):
        default = one.default if one.default_factory is NODEFAULT else one.default_factory()
        if getattr(table, one.name) != default:
            yield one.name


def _scorer(scorer: ScorerConfig, check: BehaviourCheck) -> Iterator[Problem]:
    kind = scorer.kind
    for key in _given(scorer):
        if key not in ("kind", "bound", *_OF_KIND[kind]):
            belongs = [one for one, keys in _OF_KIND.items() if key in keys]
            yield Problem(
                (key,), f"a scorer of kind {kind!r} takes no `{key}`", f"{' and '.join(belongs)} do"
            )
    for key in _NEEDED.get(kind, ()):
        if getattr(scorer, key) is None:
            yield Problem((), f"a scorer of kind {kind!r} needs `{key}`")
    if scorer.pattern is not None:
        yield from _pattern(scorer.pattern)
    if scorer.call is not None:
        yield from _function(scorer.call, "call")
    if (scorer.by == "embedding") != (scorer.embedding is not None):
        yield Problem(("embedding",), "`embedding` and by = 'embedding' go together")
    if scorer.embedding is not None:
        yield from _embedding(scorer.embedding)
    if kind == "judge":
        yield from _judge(scorer, check)


def _pattern(pattern: str) -> Iterator[Problem]:
    try:
        re.compile(pattern)
    except re.error as error:
        yield Problem(("pattern",), f"{pattern!r} is no regular expression: {error}")


def _embedding(target: TargetConfig) -> Iterator[Problem]:
    yield from _target(target, "embedding")
    if target.url is not None and target.api != "embeddings":
        yield Problem(("embedding", "api"), "an endpoint that gives vectors has api = 'embeddings'")


def _judge(scorer: ScorerConfig, check: BehaviourCheck) -> Iterator[Problem]:
    if not check.judges:
        yield Problem(
            (), "a judge is needed", "describe one in a table of its own, judges.NAME, below the check"
        )
    for name in scorer.judges or ():
        if name not in check.judges:
            yield Problem(("judges",), f"there is no judge {name!r}", did_you_mean(name, check.judges))
    if scorer.scale is not None and scorer.scale[0] >= scorer.scale[1]:
        yield Problem(("scale",), "a scale goes from its lowest score to its highest, such as [1, 5]")


def _measured(check: BehaviourCheck) -> Iterator[Problem]:
    if PASS_RATE in check.scorers:
        yield Problem(
            ("scorers", PASS_RATE), f"{PASS_RATE!r} is what all scorers say together; take another name"
        )
    if check.measure not in (PASS_RATE, *check.scorers):
        yield Problem(
            ("measure",),
            f"there is no scorer {check.measure!r}",
            did_you_mean(check.measure, [PASS_RATE, *check.scorers]),
        )
    for key in ("pass_hat_k", "pass_at_k"):
        bound = getattr(check, key)
        if bound is not None and bound.k > check.repeats:
            yield Problem(
                (key,), f"k is {bound.k} and each case is asked {check.repeats} times", "raise repeats"
            )
    if check.by and check.baseline is None:
        yield Problem(("by",), "groups are held against a baseline, and there is none", "add `baseline`")
    asked = (check.bound, check.baseline, check.case_bound, check.pass_hat_k, check.pass_at_k)
    if all(one is None for one in (*asked, *(one.bound for one in check.scorers.values()))):
        yield Problem((), "nothing says what is good enough", "add `bound`, `baseline` or `case_bound`")
    targets = [check.target, check.baseline, *check.judges.values()]
    prices = [one for one in targets if isinstance(one, TargetConfig) and costs(one)]
    if check.budget is not None and not prices:
        yield Problem(("budget",), "there is a budget and no price", "add input_price and output_price")


def costs(target: TargetConfig) -> bool:
    """Whether a price is declared."""
    return bool(target.input_price or target.output_price or target.call_price)


def _early(check: BehaviourCheck) -> Iterator[Problem]:
    worse = check.stop_early.worse if check.stop_early else None
    if check.bound is None and check.baseline is None:
        yield Problem(
            ("stop_early",),
            "asking is stopped early at a bound or beside a baseline, and there is neither",
            "add `bound` or `baseline`",
        )
    elif check.bound is not None and worse is None:
        yield Problem(
            ("stop_early",), "nothing says what is to be told from the bound", "add `worse`, such as 0.1"
        )
    elif check.bound is not None and worse is not None and worse >= check.bound:
        yield Problem(("stop_early", "worse"), f"`worse` must be less than the bound of {check.bound:g}")
    others = ("case_bound", "pass_hat_k", "pass_at_k")
    taken = [key for key in others if getattr(check, key) is not None]
    taken += ["by"] if check.by else []
    taken += [f"scorers.{name}.bound" for name, one in check.scorers.items() if one.bound is not None]
    if taken:
        yield Problem(
            ("stop_early",),
            f"what is judged by {' and '.join(taken)} needs all cases",
            "make it a check of its own without stop_early",
        )
