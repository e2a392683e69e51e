"""How soon a fall is seen, and how often one is seen that is none: simulated counts of requests.

Usage: ``falling.py [WORLDS] [DAYS]``. Replicas report twice a second, and each report is looked at.
*Before* is the rule that Treadle had: stretches of five seconds, evidence against 14.4 times the budget, of
which each gave a quarter of what an alarm takes at most. Requests are a Poisson process. Prints two tables in
Markdown: seconds from the fall to the look that sees it, median and 95th percentile; and alarms in 30 days
where the budget is used up exactly, by requests that go wrong independently or in bursts in which all do, and
where it burns at several times that rate.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from treadle.deploy import falling
from treadle.deploy.falling import STRETCH, Evidence
from treadle.deploy.levels import FALLS_FROM

TICK = 0.5
BUDGETS = {"failed": 0.001, "slow": 0.01}
RATES = (1, 5, 50, 500)
BURSTS = (0.2, 1.0, 3.0, 5.0, 7.0, 10.0)
LONGEST = 300.0
_BEFORE_ALARM, _BEFORE_TICKS, _BEFORE_LIMIT = math.log(1e6), int(5 / TICK), 14.4
_NOW_TICKS = int(STRETCH.total_seconds() / TICK)
_HALF_MINUTE = int(30 / TICK)


class Rule(Protocol):
    """Says after each half second whether requests go wrong."""

    def fallen(self, bad: int, total: int) -> bool:
        """After half a second more."""


class Now:
    """The rule as it is."""

    def __init__(self, kind: str) -> None:
        self.bound, self.outages = FALLS_FROM * BUDGETS[kind], kind == "failed"
        self.evidence, self.bad, self.total, self.ticks, self.gap = Evidence(), 0, 0, 0, 1.0

    def _after(self) -> Evidence:
        return self.evidence.after(self.bad, self.total, self.bound, self.gap, outages=self.outages)

    def fallen(self, bad: int, total: int) -> bool:
        """After half a second more."""
        self.ticks += 1
        self.bad, self.total = self.bad + bad, self.total + total
        seen = self.bad > 0 or self.evidence.fallen
        found = seen and self._after().fallen
        if self.ticks % _NOW_TICKS == 0:
            self.evidence = self._after()
            self.gap = 1.0 if self.total else self.gap + 1
            self.bad = self.total = 0
        return found


class Before:
    """The rule as it was."""

    def __init__(self, kind: str) -> None:
        self.ratios = falling._ratios(_BEFORE_LIMIT * BUDGETS[kind])  # noqa: SLF001 - the same it was
        self.logs, self.stands = [-math.inf] * len(self.ratios), False
        self.bad, self.total, self.ticks = 0, 0, 0

    def _after(self) -> tuple[list[float], bool]:
        if not self.total:
            return self.logs, self.stands
        most = _BEFORE_ALARM + math.log(len(self.logs))
        logs = [
            min(most, falling._more(log) + min(most / 4, self.bad * wrong + (self.total - self.bad) * well))  # noqa: SLF001
            for log, (wrong, well) in zip(self.logs, self.ratios, strict=True)
        ]
        mean = falling._sum(tuple(logs)) - math.log(len(logs))  # noqa: SLF001
        return logs, mean >= 0 if self.stands else mean >= _BEFORE_ALARM - 1e-9

    def fallen(self, bad: int, total: int) -> bool:
        """After half a second more."""
        self.ticks += 1
        self.bad, self.total = self.bad + bad, self.total + total
        found = (self.bad > 0 or self.stands) and self._after()[1]
        if self.ticks % _BEFORE_TICKS == 0:
            self.logs, self.stands = self._after()
            self.bad = self.total = 0
        return found


RULES: dict[str, type[Now | Before]] = {"before": Before, "now": Now}


def delays(kind: str, share: float, rate: int, worlds: int) -> dict[str, list[float]]:
    """Seconds until each rule sees a fall, in each world; infinite if not in five minutes."""
    draw, found = np.random.default_rng(11), dict[str, list[float]]((name, []) for name in RULES)
    for _ in range(worlds):
        began = 4 * _HALF_MINUTE + int(draw.integers(_HALF_MINUTE)) + 1
        total = draw.poisson(rate * TICK, began + int(LONGEST / TICK))
        bad = draw.binomial(total, np.where(np.arange(len(total)) < began, BUDGETS[kind] / 2, share))
        for name, rule in RULES.items():
            one: Rule = rule(kind)
            looks = (one.fallen(int(b), int(t)) for b, t in zip(bad, total, strict=True))
            seen = next((tick for tick, fallen in enumerate(looks) if fallen and tick >= began), None)
            found[name].append(math.inf if seen is None else (seen + 1 - began) * TICK)
    return found


def calm(share: float, rate: int, burst: float | None, days: float) -> Iterator[tuple[int, int]]:
    """Counts of half seconds: so large a share goes wrong, in bursts of so many seconds or one by one."""
    draw = np.random.default_rng(12)
    for _ in range(max(1, int(days))):
        many = int(86_400 / TICK)
        total = draw.poisson(rate * TICK, many)
        wrong = np.full(many, share)
        if burst is not None:
            starts = np.sort(draw.uniform(0, 86_400, draw.poisson(86_400 * share / burst)))
            edges = np.arange(many + 1) * TICK
            # Seconds of bursts before each edge; those that overlap count once too often, which is rare.
            done = np.interp(edges, np.c_[starts, starts + burst].ravel(), _steps(len(starts), burst))
            wrong = np.clip(np.diff(done) / TICK, 0, 1)
        yield from zip(draw.binomial(total, wrong).tolist(), total.tolist(), strict=True)


def _steps(many: int, burst: float) -> np.ndarray:
    return np.repeat(np.arange(many + 1), 2)[1:-1] * burst


def alarms(kind: str, share: float, rate: int, burst: float | None, days: float) -> dict[str, float]:
    """How many false alarms begin in 30 days, by each rule."""
    rules: dict[str, Rule] = {name: rule(kind) for name, rule in RULES.items()}
    begun, stood = dict.fromkeys(RULES, 0), dict.fromkeys(RULES, False)
    for bad, total in calm(share, rate, burst, days):
        for name, rule in rules.items():
            fallen = rule.fallen(bad, total)
            begun[name] += fallen and not stood[name]
            stood[name] = fallen
    return {name: count * 30 / days for name, count in begun.items()}


def _seconds(found: list[float]) -> str:
    middle, late = (float(np.quantile(found, share, method="higher")) for share in (0.5, 0.95))
    if math.isinf(middle):
        return "-"
    return f"{middle:.1f}; {'over 300' if math.isinf(late) else f'{late:.1f}'}"


def main(worlds: int, days: float) -> None:
    """Prints both tables."""
    print("| what goes wrong | share, % |", *(f"{rate} a second, before | now |" for rate in RATES))
    print("|---|---:|" + "---:|---:|" * len(RATES))
    for kind in BUDGETS:
        for share in (0.1, 0.25, 0.5, 1.0):
            cells = []
            for rate in RATES:
                found = delays(kind, share, rate, worlds)
                cells += [_seconds(found["before"]), _seconds(found["now"])]
            print(f"| {kind} | {100 * share:.0f} |", " | ".join(cells), "|", flush=True)
    print("\n| what goes wrong | how |", *(f"{rate} a second, before | now |" for rate in RATES[1:]))
    print("|---|---|" + "---:|---:|" * len(RATES[1:]))
    for kind, budget in BUDGETS.items():
        cases: list[tuple[str, float, float | None, float]] = [("one by one", budget, None, days / 3)]
        cases += [(f"at {times:g} times the budget", times * budget, None, days / 3) for times in (3, 6)]
        cases += [(f"in bursts of {burst:g} s", budget, burst, days) for burst in BURSTS]
        for words, share, burst, length in cases:
            counts = [alarms(kind, share, rate, burst, length) for rate in RATES[1:]]
            told = " | ".join(f"{one[name]:.0f}" for one in counts for name in RULES)
            print(f"| {kind} | {words} | {told} |", flush=True)


main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, float(sys.argv[2]) if len(sys.argv) > 2 else 30)
