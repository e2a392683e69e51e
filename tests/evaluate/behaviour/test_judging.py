"""Verdicts: their error rates by simulation, their plans beside what then happens."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from treadle.evaluate.behaviour import means
from treadle.evaluate.behaviour.cases import Cases
from treadle.evaluate.behaviour.judging.baseline import Pair, no_worse
from treadle.evaluate.behaviour.judging.bounds import reaches
from treadle.evaluate.behaviour.planning import plan
from treadle.evaluate.behaviour.types import Case
from treadle.kernel.config import BehaviourCheck, EarlyStop, PassK, ScorerConfig, TargetConfig


def check(**keys):
    declared = {
        "cases": "c.jsonl", "target": "a:b", "bound": 0.8,
        "scorers": {"s": ScorerConfig(kind="exact")}, **keys,
    }  # fmt: skip
    return BehaviourCheck(**declared)


def cases(count, groups=1):
    return [
        Case(id=f"c{n}", input=f"question {n}", expected="x", tags={"group": str(n % groups)})
        for n in range(count)
    ]


def drawn(rng, every, rates, theirs, repeats=5):
    return [
        Pair(case, rng.binomial(repeats, p) / repeats, rng.binomial(repeats, q) / repeats)
        for case, p, q in zip(every, rates, theirs, strict=True)
    ]


def outcomes(rng, trials, loss, margin=0.1, count=60, groups=3):
    """Outcomes of comparisons whose target loses a case in so many for good."""
    declared = check(baseline="x:y", margin=margin, group_margin=margin, by=["group"], min_cases=10)
    every = cases(count, groups)
    found = []
    for _ in range(trials):
        theirs = rng.beta(8, 1, count)
        ours = np.where(rng.random(count) < loss, 0.0, theirs)
        verdicts = no_worse(declared, drawn(rng, every, ours, theirs), "x:y")
        found.append([one.outcome for one in verdicts if one.check == "no_worse"])
    return found


@pytest.fixture
def quick(monkeypatch):
    """Fewer draws a bound: they are right a little less exactly, and twenty times as fast."""
    monkeypatch.setattr(means, "_DRAWS", 1000)


def test_the_same_system_hardly_ever_fails_and_a_worse_one_hardly_ever_passes(quick):
    rng = np.random.default_rng(1)
    same = outcomes(rng, 120, 0.0, margin=0.02)
    failed = sum("fail" in one for one in same)
    assert stats.binom.sf(failed - 1, 120, 0.1) > 1e-4  # overall and over groups, 5 % each
    loss = 0.1 / (8 / 9)  # so that the true gain is -margin
    worse = outcomes(rng, 120, loss)
    passed = sum(all(outcome in ("pass", "warn") for outcome in one) for one in worse)
    assert stats.binom.sf(passed - 1, 120, 0.05) > 1e-4


@pytest.mark.soak
@pytest.mark.parametrize("count", [30, 60, 200])
def test_error_rates_hold_in_many_comparisons(quick, count):
    rng = np.random.default_rng(count)
    same = outcomes(rng, 800, 0.0, margin=0.02, count=count)
    assert stats.binom.sf(sum("fail" in one for one in same) - 1, 800, 0.1) > 1e-4
    worse = outcomes(rng, 800, 0.1 / (8 / 9), count=count)
    passed = sum(one[0] in ("pass", "warn") for one in worse)
    assert stats.binom.sf(passed - 1, 800, 0.05) > 1e-4


def test_a_group_that_lost_is_found_behind_a_good_average():
    rng = np.random.default_rng(2)
    every = cases(300, 3)
    theirs = np.full(300, 0.9)
    ours = np.where(np.arange(300) % 3 == 1, 0.3, 1.0)
    declared = check(baseline="x:y", margin=0.2, by=["group"])
    found = {one.subject: one for one in no_worse(declared, drawn(rng, every, ours, theirs), "x:y")}
    assert found["group=1"].outcome == "fail"
    assert (found["group=0"].outcome, found["overall"].outcome) == ("pass", "warn")
    assert found["group=1"].groups == ("group=1",)
    assert found["cases"].exploratory


def test_what_is_surely_worse_and_surely_within_the_margin_warns():
    every = cases(400)
    pairs = [Pair(case, 0.9 if n % 2 else 1.0, 1.0) for n, case in enumerate(every)]
    (overall, _) = no_worse(check(baseline="x:y", margin=0.1), pairs, "x:y")
    assert overall.outcome == "warn"
    assert "surely worse, and surely by no more than the 0.1 allowed" in overall.sentence


def test_small_groups_are_named_and_nothing_in_common_is_no_comparison():
    every = cases(30, 3)
    declared = check(baseline="x:y", by=["group"], min_cases=20)
    found = no_worse(declared, [Pair(case, 1.0, 1.0) for case in every], "x:y")
    assert found[-1].check == "small_groups"
    assert "group=0 (10 cases)" in found[-1].sentence
    assert no_worse(declared, [], "x:y")[0].outcome == "inconclusive"


def test_the_order_of_cases_changes_no_verdict():
    rng = np.random.default_rng(3)
    pairs = drawn(rng, cases(80, 2), rng.beta(4, 1, 80), rng.beta(4, 1, 80))
    declared = check(baseline="x:y", by=["group"])
    shuffled = [pairs[place] for place in rng.permutation(80)]
    assert [one.outcome for one in no_worse(declared, pairs, "b")] == [
        one.outcome for one in no_worse(declared, shuffled, "b")
    ]
    first, again = (no_worse(declared, one, "b")[0] for one in (pairs, shuffled))
    assert (first.low, first.high) == pytest.approx((again.low, again.high))


# ── plans ────────────────────────────────────────────────────────────────


def planned(count=100, earlier=None, **keys):
    found = plan(check(**keys), Cases("c", "d", tuple(cases(count, 2))), earlier)
    return {(one.check, one.subject): one for one in found}


def test_what_a_plan_says_can_be_told_is_told_nine_times_in_ten(quick):
    found = planned(150, bound=0.8, repeats=4, correlation=0.3)["bound", "pass_rate"]
    rate = 0.8 + found.detectable
    rng = np.random.default_rng(4)
    passed = 0
    for _ in range(200):
        rates = rng.beta(rate * 0.7 / 0.3, (1 - rate) * 0.7 / 0.3, 150)
        answers = [rng.binomial(1, p, 4).astype(float) for p in rates]
        passed += reaches(check(bound=0.8), answers, "pass_rate", 0.8).outcome == "pass"
    assert stats.binom.sf(passed - 1, 200, 0.95) > 1e-4
    assert stats.binom.cdf(passed, 200, 0.8) > 1e-4


def test_what_a_bound_needs_at_least_is_told():
    found = planned(10, bound=0.95)["bound", "pass_rate"]
    assert (found.enough, found.detectable) == (False, None)
    assert (
        "10 cases can't show it even if every answer passes; 59 cases are the fewest that can"
        in found.sentence
    )


def test_calls_and_costs_are_told():
    target = TargetConfig(
        url="http://x", model="m", input_price=1.0, output_price=4.0, params={"max_tokens": 100}
    )
    judge = TargetConfig(call="j:j", call_price=0.001)
    scorers = {"j": ScorerConfig(kind="judge", rubric="?", passes=0.5)}
    found = planned(100, target=target, judges={"one": judge}, scorers=scorers, budget=0.5, baseline="a:b")
    calls = found["calls", "cost"]
    assert calls.n == 1000
    assert "500 calls of m (100 cases, 5 times each), 500 of the baseline" in calls.sentence
    assert "at most 1,000 of the judge one for j" in calls.sentence
    read = sum(len(f"question {n}") for n in range(100)) / 4 / 100
    cost = 500 * (read * 1.0 + 100 * 4.0) / 1e6 + 1000 * 0.001
    assert f"about {cost:.3g}" in calls.sentence
    assert calls.enough is False


def test_everything_that_is_declared_is_planned():
    found = planned(
        100, baseline="last", by=["group"], case_bound=0.9, pass_hat_k=PassK(k=3, bound=0.5),
        scorers={"s": ScorerConfig(kind="exact", bound=0.5)},
    )  # fmt: skip
    assert set(found) == {
        ("calls", "cost"), ("bound", "pass_rate"), ("bound", "s"),
        ("pass_k", "pass^3"), ("every_case", "cases"), ("no_worse", "overall"),
        ("no_worse", "group=0"), ("no_worse", "group=1"),
    }  # fmt: skip
    assert not found["no_worse", "overall"].enough
    assert "29 are needed to show that it passes" in found["every_case", "cases"].sentence
    early = planned(100, stop_early=EarlyStop(worse=0.2))["bound", "pass_rate"]
    assert early.enough
