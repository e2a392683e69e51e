"""Whether requests have begun to go wrong: against the martingale's law, by simulation, and at its edges."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from treadle.deploy.falling import LIMIT, STRETCH, Evidence, fall

SECONDS = int(STRETCH.total_seconds())
SLOW, FAILED = 0.144, 0.0144


def seconds_until(share: float, rate: float, bound: float, began: float, usual: float) -> float | None:
    """How long after requests begin to go wrong it is seen, by two reports a second, after two minutes."""
    draw, found = np.random.default_rng(5), Evidence()
    bad = total = 0
    for tick in range(1, 2 * 300):
        at = tick / 2
        asked = int(draw.poisson(rate / 2))
        total += asked
        bad += int(draw.binomial(asked, share if at > 120 + began else usual))
        if found.after(bad, total, bound).fallen:
            return at - 120 - began
        if tick % (2 * SECONDS) == 0:
            found, bad, total = found.after(bad, total, bound), 0, 0
    return None


@pytest.mark.parametrize("began", [0, 2.5, 4.5])
@pytest.mark.parametrize(
    ("share", "rate", "bound"),
    [
        (1.0, 2.0, SLOW),
        (0.5, 5.0, SLOW),
        (0.25, 50.0, SLOW),
        (1.0, 1.0, FAILED),
        (0.5, 2.0, FAILED),
        (0.25, 5.0, FAILED),
        (0.1, 50.0, FAILED),
    ],
)
def test_a_fall_is_seen_in_under_thirty_seconds(share, rate, bound, began) -> None:
    found = seconds_until(share, rate, bound, began, bound / 20)
    assert found is not None
    assert 2 * SECONDS < found < 27  # and two seconds until somebody looks


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
    """At the edge for a day; a limit of ten would have been reached within it."""
    draw, evidence, most = np.random.default_rng(2), Evidence(), 0.0
    steps = 20_000
    for bad in draw.binomial(250, SLOW, steps):
        evidence = evidence.after(int(bad), 250, SLOW)
        assert not evidence.fallen
        most = max(most, sum(math.exp(log) for log in evidence.logs) / len(evidence.logs))
    assert 10 < most < LIMIT


@pytest.mark.parametrize("rate", [5, 500])
def test_what_is_over_at_once_is_no_fall(rate) -> None:
    """Everything fails for ten seconds, wherever that begins; twenty seconds are a fall."""
    well, wrong = (0, rate * SECONDS), (rate * SECONDS, rate * SECONDS)
    for began in range(SECONDS):
        short = [*[well] * 20, (rate * (SECONDS - began), rate * SECONDS), wrong]
        short += [(rate * began, rate * SECONDS)]
        assert fall(short, FAILED) is None
        assert fall([*short, well], FAILED) is None
    assert fall([*[well] * 20, *[wrong] * 4], FAILED) is not None


def test_it_stands_until_the_evidence_is_gone() -> None:
    well, wrong = (0, 50), (30, 50)
    assert fall([*[well] * 10, *[wrong] * 4], SLOW) == (120, 200, 4)
    assert fall([*[wrong] * 4, (10, 50)], SLOW) is not None
    assert fall([*[wrong] * 4, *[well] * 3], SLOW) is None
    assert fall([*[wrong] * 40, *[well] * 3], SLOW) is None, "however long it lasted"
    assert fall([*[wrong] * 4, (0, 0), (0, 0)], SLOW) is not None
    assert fall([], SLOW) is None
    assert fall([(1, 10)] * 4, 0.0) is not None, "where nothing at all may go wrong"
