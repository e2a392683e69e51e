"""Whether live inputs are what they can be: missing, out of range, never seen. No I/O.

Types need no monitor: a batch of predictions with another type than the model's signature is
refused whole, and so is a request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from treadle.kernel.config.monitor import MonitorConfig
from treadle.monitor import rules
from treadle.monitor.drift import input_result
from treadle.monitor.findings import STATISTICS, Window
from treadle.monitor.profile import Shape, counts
from treadle.monitor.types import CategoryProfile, NumericProfile, WindowResult

Trouble = Literal["nulls", "outside", "unseen"]

_WORDS = {
    "nulls": "missing in",
    "outside": "outside of what it was at training in",
    "unseen": "a text that training didn't have in",
}


class Check(msgspec.Struct, frozen=True):
    """Rows of one column that are in trouble, at training and now."""

    column: str
    trouble: Trouble
    then: int
    now: int
    m: int
    n: int
    allowed: float

    @property
    def share(self) -> float:
        """Of the current rows."""
        return self.now / self.n

    @property
    def limit(self) -> float:
        """The largest share that is no trouble."""
        return self.then / self.m + self.allowed

    @property
    def p_value(self) -> float:
        """The probability of so many or more among the current rows, if no more than the limit are to be.

        It is the larger of two: with the share that was found at training for the true one, and if rows
        of both are alike, for that share is known by so many rows only.

        Of the ``then + now`` rows in trouble each is a current one with probability
        ``r = n / (n + m)``. Fisher's exact test has the hypergeometric law here, whose tail is
        never above this one. Beyond an end that was found at training there are none by then, and
        ``k`` or more now with probability ``r ** k`` (Gumbel and von Schelling, 1950); beyond either end
        ``r ** k * (1 + k * (1 - r))``, the sum of two.
        """
        from scipy.special import bdtrc

        share = self.n / (self.n + self.m)
        if not self.now:
            return 1.0
        over = rules.beyond(self.now, self.n, self.limit)
        if self.trouble == "outside":
            return max(over, float(share**self.now * (1 + self.now * (1 - share))))
        return max(over, float(bdtrc(self.now - 1, self.then + self.now, share)))


def quality_results(
    window: Window, watched: Mapping[str, Shape], current: Sequence[Shape], config: MonitorConfig
) -> list[WindowResult]:
    """What is wrong with the inputs: a finding for each check that fails, or one that all is well.

    All checks together share one level of false alarms.

    Args:
        window: The window.
        watched: Each input's profile at training.
        current: How each was in the window, in the same bins.
        config: The ``[monitor]`` table.
    """
    checks = [
        check
        for (name, then), now in zip(watched.items(), current, strict=True)
        for check in _checks(name, then, now, config)
    ]
    n = max((check.n for check in checks), default=0)
    if n < config.min_rows:
        few = f"inputs: {n:,} rows are too few to tell ({config.min_rows:,} needed)"
        return [_calm(window, n, few, told=False)]
    alpha = rules.level(config.false_alarms, window.length) / len(checks)
    failed = [check for check in checks if check.share > check.limit and check.p_value <= alpha]
    if not failed:
        return [_calm(window, n, f"inputs: {len(checks)} checks are well, in {n:,} rows", told=True)]
    return [_finding(window, check) for check in failed]


def explain(
    window: Window,
    found: WindowResult,
    reference: Shape,
    current: Shape,
    columns: int,
    config: MonitorConfig,
    troubles: Sequence[WindowResult],
) -> WindowResult:
    """A drift that is nothing but trouble says so, and raises no alert of its own.

    The rows in trouble are left out on both sides. What has not drifted without them is explained by them.

    Args:
        window: The window.
        found: The input's drift.
        reference: How the input was distributed at training.
        current: How it was in the window.
        columns: How many inputs share the level.
        config: The ``[monitor]`` table.
        troubles: The findings of :func:`quality_results`.
    """
    own = [one for one in troubles if one.subject == found.subject and one.state == "alert"]
    if found.state != "alert" or not own:
        return found
    names = {one.statistic for one in own}
    rest = [_without(shape, names) for shape in (reference, current)]
    again = input_result(window, found.subject, rest[0], rest[1], columns, config)
    if again.state == "alert":
        return found
    words = " and ".join(one.sentence.removeprefix(f"{found.subject}: ") for one in own)
    rows = sum(counts(rest[1]))
    left = (
        f"{rows:,} are left, too few to tell"
        if again.value is None
        else f"{STATISTICS[again.statistic]} is {again.value:.3f}"
    )
    return msgspec.structs.replace(
        found,
        sentence=f"{found.sentence}; the quality of the data explains it ({words}): "
        f"without those rows {left}",
        explained_by=" and ".join(f"quality:{found.subject}:{name}" for name in sorted(names)),
    )


def settle(troubles: Sequence[WindowResult], drifts: Sequence[WindowResult]) -> list[WindowResult]:
    """Values out of range that are the tail of a drift raise no alert beside it."""
    drifted = {one.subject for one in drifts if one.state == "alert" and not one.explained_by}
    return [_tail(one) if one.statistic == "outside" and one.subject in drifted else one for one in troubles]


def _tail(found: WindowResult) -> WindowResult:
    sentence = f"{found.sentence}; the column has drifted as a whole"
    return msgspec.structs.replace(found, sentence=sentence, explained_by=f"input:{found.subject}")


def _checks(name: str, then: Shape, now: Shape, config: MonitorConfig) -> Iterator[Check]:
    m, n = sum(counts(then)), sum(counts(now))
    if not m or not n:
        return
    allowed = config.quality_of(name)
    yield Check(name, "nulls", then.nulls, now.nulls, m, n, allowed.nulls)
    if isinstance(then, NumericProfile) and isinstance(now, NumericProfile) and then.low is not None:
        yield Check(name, "outside", then.below + then.above, now.below + now.above, m, n, allowed.outside)
    if isinstance(then, CategoryProfile) and isinstance(now, CategoryProfile) and not then.other:
        yield Check(name, "unseen", 0, now.other, m, n, allowed.unseen)


def _finding(window: Window, check: Check) -> WindowResult:
    was = f", was in {_percent(check.then / check.m)}" if check.then else ""
    return WindowResult(
        model=window.model,
        kind="quality",
        subject=check.column,
        since=window.since,
        until=window.until,
        version=window.version,
        state="alert",
        statistic=check.trouble,
        value=check.share,
        limit=check.limit,
        threshold=check.limit,
        n=check.n,
        p_value=check.p_value,
        severity=rules.severity(check.share - check.then / check.m, max(check.allowed, 0.1)),
        sentence=f"{check.column}: {_WORDS[check.trouble]} {_percent(check.share)} of {check.n:,} rows"
        f"{was}; up to {_percent(check.limit)} is allowed",
    )


def _calm(window: Window, n: int, sentence: str, *, told: bool) -> WindowResult:
    return WindowResult(
        model=window.model,
        kind="quality",
        subject="inputs",
        since=window.since,
        until=window.until,
        version=window.version,
        state="ok" if told else "inconclusive",
        statistic="failed",
        value=0.0 if told else None,
        n=n,
        sentence=sentence,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _without(shape: Shape, troubles: set[str]) -> Shape:
    """A profile without the rows in trouble."""
    if "nulls" in troubles:
        shape = msgspec.structs.replace(shape, nulls=0)
    if isinstance(shape, NumericProfile):
        return msgspec.structs.replace(shape, below=0, above=0) if "outside" in troubles else shape
    return msgspec.structs.replace(shape, other=0) if "unseen" in troubles else shape
