"""Whether requests have begun to go wrong: against the martingale's law, by simulation, and at its edges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest

from treadle.deploy.falling import LASTS, LIMIT, OUTAGE, Counted, Evidence, Fall, fall

SLOW, FAILED = 0.06, 0.006


def seconds_until(
    share: float, rate: float, bound: float, began: float, usual: float, *, outages: bool
) -> float | None:
    """How long after requests begin to go wrong it is seen, by two reports a second, after two minutes."""
    draw, found = np.random.default_rng(5), Evidence()
    bad = total = 0
    gap = 1.0
    for tick in range(1, 2 * 300):
        at = tick / 2
        asked = int(draw.poisson(rate / 2))
        total += asked
        bad += int(draw.binomial(asked, share if at > 120 + began else usual))
        if found.after(bad, total, bound, gap, outages=outages).fallen:
            return at - 120 - began
        if tick % 2 == 0:
            found = found.after(bad, total, bound, gap, outages=outages)
            gap = 1.0 if total else gap + 1
            bad = total = 0
    return None


@pytest.mark.parametrize("began", [0, 0.5])
@pytest.mark.parametrize(
    ("share", "rate", "bound"),
    [
        (1.0, 2.0, SLOW),
        (0.5, 5.0, SLOW),
        (0.25, 5.0, SLOW),
        (0.1, 500.0, SLOW),
        (1.0, 1.0, FAILED),
        (0.5, 2.0, FAILED),
        (0.25, 5.0, FAILED),
        (0.1, 10.0, FAILED),
    ],
)
def test_a_fall_is_seen_in_under_thirty_seconds(share, rate, bound, began) -> None:
    found = seconds_until(share, rate, bound, began, bound / 12, outages=bound == FAILED)
    assert found is not None
    assert OUTAGE - 3 < found < 27  # and two seconds until somebody looks


@pytest.mark.parametrize(("rate", "most"), [(500, OUTAGE), (5, 10), (1, 15)])
def test_an_outage_is_seen_in_seconds(rate, most) -> None:
    for began in (0, 0.5):
        found = seconds_until(1.0, rate, FAILED, began, 0.001, outages=True)
        assert found is not None
        assert OUTAGE - 3 < found <= most


def test_the_evidence_of_a_stretch_is_at_most_one_on_average() -> None:
    """By enumeration: what it adds to the mean is the one with which evidence begins anew, no more."""
    total, bound = 8, 0.2
    for rate in (0.02, 0.2):
        chances = [
            math.comb(total, bad) * rate**bad * (1 - rate) ** (total - bad) for bad in range(total + 1)
        ]
        found = 0.0
        for bads in itertools.product(range(total + 1), repeat=3):
            evidence = Evidence()
            for bad in bads:
                evidence = evidence.after(bad, total, bound)
            mean = sum(math.exp(log) for log in evidence.logs) / len(evidence.logs)
            found += mean * math.prod(chances[bad] for bad in bads)
        assert found <= 3 + 1e-9


def test_false_alarms_come_as_rarely_as_is_said() -> None:
    """At the edge for half a day; a limit of ten would have been reached within it."""
    draw, evidence, most = np.random.default_rng(2), Evidence(), 0.0
    for bad in draw.binomial(50, SLOW, 40_000):
        evidence = evidence.after(int(bad), 50, SLOW)
        assert not evidence.fallen
        most = max(most, sum(math.exp(log) for log in evidence.logs) / len(evidence.logs))
    assert 10 < most < LIMIT


def alarms(bad: np.ndarray, total: np.ndarray, bound: float, *, outages: bool) -> int:
    """How many begin, looked at each second."""
    evidence, begun = Evidence(), 0
    for wrong, asked in zip(bad.tolist(), total.tolist(), strict=True):
        after = evidence.after(wrong, asked, bound, outages=outages)
        begun += after.fallen and not evidence.fallen
        evidence = after
    return begun


def calm(days: float, rate: float, share: float, lasts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of which a share goes wrong: in bursts of so many whole ones, or (0) independently."""
    draw, many = np.random.default_rng(seed), int(days * 86_400)
    total = draw.poisson(rate, many)
    wrong = np.full(many, share)
    if lasts:
        begins = draw.random(many) < share / lasts
        wrong = np.convolve(begins, np.ones(lasts))[:many].clip(0, 1)
    return draw.binomial(total, wrong), total


@pytest.mark.parametrize("days", [0.2, pytest.param(10, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("bound", "budget", "outages"), [(SLOW, 0.01, False), (FAILED, 0.001, True)])
def test_what_keeps_its_objective_has_not_fallen(days, bound, budget, outages) -> None:
    """The whole budget is used up: one by one, in bursts, and at the limit, where 58 days may bring one."""
    for rate in (5, 50):
        for share, lasts, most in ((budget, 0, 0), (budget, 3, 1), (budget, 5, 4), (bound, 0, 2)):
            begun = alarms(*calm(days, rate, share, lasts, 3), bound, outages=outages)
            assert begun <= most, (rate, share, lasts)


def every_second(counts: Sequence[tuple[int, int]]) -> list[Counted]:
    return [Counted(float(at), bad, total) for at, (bad, total) in enumerate(counts)]


def burst(rate: int, lasted: float, began: float) -> list[tuple[int, int]]:
    """Seconds of which all requests go wrong, from a moment of the first on."""
    ends = began + lasted
    return [
        (round(rate * max(0.0, min(second + 1, ends) - max(second, began))), rate)
        for second in range(math.ceil(ends))
    ]


@pytest.mark.parametrize("rate", [5, 500])
@pytest.mark.parametrize("began", [0, 0.2, 0.6])
def test_what_is_over_at_once_is_no_fall(rate, began) -> None:
    """Everything is slow for ten seconds, or fails for six; twice as long is a fall."""
    well = (0, rate)
    for bound, lasted, outages in ((SLOW, 10, False), (FAILED, 6, True)):
        short = [*[well] * 20, *burst(rate, lasted, began)]
        assert fall(every_second(short), bound, outages=outages) is None
        assert fall(every_second([*short, *[well] * 10]), bound, outages=outages) is None
        long = [*[well] * 20, *burst(rate, 2 * lasted, began)]
        assert fall(every_second(long), bound, outages=outages) is not None
    again = [*[well] * 20, *burst(rate, 5, began), *[well] * 8, *burst(rate, 5, began)]
    assert fall(every_second(again), SLOW) is None, "two bursts are no fall either"


def test_rare_requests_and_late_reports_count_for_the_time_between() -> None:
    """Each stands for up to three seconds; evidence is asked of them all the same."""
    late = [Counted(5.0 * at, 50, 50) for at in range(6)]
    assert fall(late[:4], SLOW) is None
    found = fall(late, SLOW)
    assert found == Fall(300, 300, 26)
    assert fall(late[:4], FAILED, outages=True) is not None
    few = [Counted(60.0 * at, 1, 1) for at in range(4)]
    assert fall(few[:3], FAILED, outages=True) is None
    assert fall(few, FAILED, outages=True) is not None


def test_it_stands_until_the_evidence_is_gone() -> None:
    well, wrong = (0, 10), (6, 10)
    fallen = [*[well] * 10, *[wrong] * LASTS]
    assert fall(every_second(fallen), SLOW) == Fall(6 * LASTS, 10 * LASTS, LASTS)
    assert fall(every_second(fallen[:-1]), SLOW) is None
    assert fall(every_second([*fallen, (2, 10)]), SLOW) is not None
    assert fall(every_second([*fallen, *[well] * 10]), SLOW) is not None
    assert fall(every_second([*fallen, *[well] * 17]), SLOW) is None
    assert fall(every_second([*[wrong] * 100, *[well] * 17]), SLOW) is None, "however long it lasted"
    assert fall(every_second([*fallen, (0, 0), (0, 0)]), SLOW) is not None
    assert fall([], SLOW) is None
    assert fall(every_second([(1, 2)] * LASTS), 0.0) is not None, "where nothing at all may go wrong"
