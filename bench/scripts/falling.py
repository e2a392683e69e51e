"""How soon a fall is seen, and how often one is seen that is none: simulated counts of requests.

Usage: ``falling.py [WORLDS] [DAYS]``. Replicas report twice a second, and each report is looked at.
*Before* is the rule that Treadle had: an e-process over all requests of the minute that has begun and the one
before. Requests are a Poisson process. Prints two tables in Markdown: seconds from the fall to the look that
sees it, median and 95th percentile; and false alarms in 30 days where the budget is used up exactly, by
requests that go wrong independently or in bursts in which all do, and where it burns at the limit of a page.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import numpy as np

from treadle.deploy.falling import STRETCH, Evidence
from treadle.deploy.guards import evidence_above

TICK = 0.5
LIMITS = {"failed": 0.0144, "slow": 0.144}
BUDGETS = {"failed": 0.001, "slow": 0.01}
RATES = (5, 50, 500)
BURSTS = (0.2, 1.0, 3.0, 5.0, 7.0, 10.0)
LONGEST = 300.0
_STRETCH = int(STRETCH.total_seconds() / TICK)
_MINUTE = int(60 / TICK)


class Now:
    """The rule as it is."""

    def __init__(self, bound: float) -> None:
        self.bound, self.evidence, self.bad, self.total, self.ticks = bound, Evidence(), 0, 0, 0

    def fallen(self, bad: int, total: int) -> bool:
        """After half a second more."""
        self.ticks += 1
        self.bad, self.total = self.bad + bad, self.total + total
        seen = bad > 0 or self.evidence.fallen
        found = seen and self.evidence.after(self.bad, self.total, self.bound).fallen
        if self.ticks % _STRETCH == 0:
            self.evidence = self.evidence.after(self.bad, self.total, self.bound)
            self.bad = self.total = 0
        return found


class Before:
    """The rule as it was."""

    def __init__(self, bound: float) -> None:
        self.bound, self.last, self.counts, self.ticks, self.found = bound, (0, 0), (0, 0), 0, False

    def fallen(self, bad: int, total: int) -> bool:
        """After half a second more."""
        self.ticks += 1
        self.counts = (self.counts[0] + bad, self.counts[1] + total)
        if bad or self.found:
            both = [a + b for a, b in zip(self.counts, self.last, strict=True)]
            self.found = evidence_above(both[0], both[1], self.bound) >= math.log(1e6)
        if self.ticks % _MINUTE == 0:
            self.last, self.counts = self.counts, (0, 0)
        return self.found


RULES = {"before": Before, "now": Now}


def delays(kind: str, share: float, rate: int, worlds: int) -> dict[str, list[float]]:
    """Seconds until each rule sees a fall, in each world; infinite if not in five minutes."""
    draw, found = np.random.default_rng(11), {name: [] for name in RULES}
    for _ in range(worlds):
        began = 2 * _MINUTE + int(draw.integers(_MINUTE)) + 1
        total = draw.poisson(rate * TICK, began + int(LONGEST / TICK))
        bad = draw.binomial(total, np.where(np.arange(len(total)) < began, BUDGETS[kind] / 2, share))
        for name, rule in RULES.items():
            one = rule(LIMITS[kind])
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
    rules = {name: rule(LIMITS[kind]) for name, rule in RULES.items()}
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
    for kind in LIMITS:
        for share in (0.1, 0.25, 0.5, 1.0):
            cells = []
            for rate in RATES:
                found = delays(kind, share, rate, worlds)
                cells += [_seconds(found["before"]), _seconds(found["now"])]
            print(f"| {kind} | {100 * share:.0f} |", " | ".join(cells), "|", flush=True)
    print("\n| what goes wrong | how | at 50 a second, before | now | at 500 a second, before | now |")
    print("|---|---|---:|---:|---:|---:|")
    for kind, budget in BUDGETS.items():
        cases = [
            ("one by one", budget, None, days / 3),
            ("at 14.4 times the budget", LIMITS[kind], None, days / 3),
        ]
        cases += [
            (f"in bursts of {burst:g} s", budget, burst, days) for burst in (0.2, 1.0, 3.0, 5.0, 7.0, 10.0)
        ]
        for words, share, burst, length in cases:
            cells = [alarms(kind, share, rate, burst, length) for rate in RATES[1:]]
            told = " | ".join(f"{one[name]:.0f}" for one in cells for name in RULES)
            print(f"| {kind} | {words} | {told} |", flush=True)


main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, float(sys.argv[2]) if len(sys.argv) > 2 else 30)
