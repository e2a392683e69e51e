"""Behaviour checks as a whole: asked, judged, kept, gone on with, scored again."""

from __future__ import annotations

import functools
import random

import pytest

from chat_server import serving
from sums import Watching, asked, declare, verdict, write
from treadle.evaluate import Evaluations
from treadle.evaluate.behaviour import setup
from treadle.evaluate.behaviour.scorers.patterns import Matcher
from treadle.evaluate.behaviour.service import Behaviour
from treadle.evaluate.behaviour.targets import functions
from treadle.kernel.errors import (
    Busy,
    ConfigError,
    Conflict,
    InvalidInput,
    NotFound,
    StorageFull,
    Unavailable,
)

# ── judging ──────────────────────────────────────────────────────────────


def test_a_system_that_is_good_enough_passes(app, clock):
    found = declare(app).judge("eval_1", "sums")
    assert (found.outcome, found.kind, found.subject, found.at) == ("pass", "behaviour", "sums", clock.now())
    bound = verdict(found, "bound")
    assert (bound.n, bound.unit, bound.bound, bound.test) == (40, "cases", 0.7, "Gaffke's bound over cases")
    assert 0.7 < bound.low < bound.estimate < bound.high < 1
    assert verdict(found, "answered").sentence == "All 120 calls of the target were answered."
    assert found.metrics["pass_rate"] == bound.estimate
    assert found.metrics["calls"] == 120
    assert 0 < found.metrics["latency_p50"] <= found.metrics["latency_p99"]
    assert (found.basis.candidate, found.basis.seed) == ("app:good", 0)
    assert found.basis.code
    assert Evaluations(app).get("eval_1") == found


def test_one_that_is_not_fails_and_one_that_may_be_is_inconclusive(app):
    found = declare(app, target="app:bad", bound=0.9).judge("eval_1", "sums")
    assert found.outcome == "fail"
    assert "is not at least 0.9: with 95 % confidence it is at most" in verdict(found, "bound").sentence
    found = declare(app, bound=0.88).judge("eval_2", "sums")
    bound = verdict(found, "bound")
    assert (found.outcome, bound.outcome) == ("inconclusive", "inconclusive")
    assert bound.n_needed > 40
    assert f"about {bound.n_needed:,} cases would" in bound.sentence


def test_the_same_seed_finds_the_same_and_the_order_of_cases_does_not_matter(app):
    first = declare(app).judge("eval_1", "sums")
    lines = (app.root / "cases.jsonl").read_text().splitlines()
    random.Random(1).shuffle(lines)
    (app.root / "cases.jsonl").write_text("\n".join(lines))
    again = declare(app).judge("eval_2", "sums")
    assert again.verdicts == first.verdicts
    other = declare(app, seed=5).judge("eval_3", "sums")
    assert other.metrics["pass_rate"] != first.metrics["pass_rate"]


def test_a_known_identity_asks_nothing(app):
    first = declare(app, target="app:counted").judge("eval_1", "sums")
    assert len(asked(app)) == 120
    assert declare(app, target="app:counted").judge("eval_1", "sums") == first
    assert len(asked(app)) == 120
    with pytest.raises(Conflict):
        Evaluations(app).known("eval_1", "model", "run_1")
    assert declare(app, target="app:counted").judge("eval_2", "sums") != first
    assert len(asked(app)) == 240  # another evaluation asks anew: nothing is cached


def test_a_worse_system_does_not_get_by_its_baseline(app):
    found = declare(app, target="app:bad", baseline="app:good", bound=None, by=["topic"], min_cases=10).judge(
        "eval_1", "sums"
    )
    assert found.outcome == "fail"
    overall = verdict(found, "no_worse", "overall")
    assert (overall.outcome, overall.n, overall.bound) == ("fail", 40, -0.02)
    assert overall.high < -0.02
    assert {one.subject for one in found.verdicts if one.check == "no_worse"} == {
        "overall",
        "topic=a",
        "topic=b",
    }
    assert verdict(found, "no_worse", "topic=a").adjusted <= 0.05
    worst = verdict(found, "changed_cases")
    assert worst.exploratory
    assert "cases got worse" in worst.sentence
    assert (found.baseline, found.basis.reference) == ("app:good", "app:good")


def test_the_same_system_is_no_worse_than_itself(app):
    write(app, 200)
    found = declare(app, target="app:perfect", baseline="app:perfect", bound=None, repeats=1).judge(
        "e", "sums"
    )
    assert found.outcome == "pass"
    assert verdict(found, "no_worse").estimate == 0


def test_few_cases_that_are_all_alike_leave_doubt(app):
    write(app, 10)
    found = declare(app, target="app:perfect", bound=0.95).judge("eval_1", "sums")
    bound = verdict(found, "bound")
    assert (bound.outcome, bound.estimate, bound.n_needed) == ("inconclusive", 1.0, 59)
    write(app, 1)
    found = declare(app, target="app:perfect", bound=0.9).judge("eval_2", "sums")
    assert verdict(found, "bound").outcome == "inconclusive"
    write(app, 59)
    assert declare(app, target="app:perfect", bound=0.95).judge("eval_3", "sums").outcome == "pass"


def test_reliability_single_cases_and_latency_are_judged(app):
    write(app, 60)
    found = declare(
        app, target="app:bad", bound=None, repeats=8, case_bound=0.99, max_latency="30s",
        pass_hat_k={"k": 4, "bound": 0.5}, pass_at_k={"k": 4, "bound": 0.5},
    ).judge("eval_1", "sums")  # fmt: skip
    assert verdict(found, "pass_k", "pass^4").outcome == "fail"
    assert verdict(found, "pass_k", "pass@4").outcome == "pass"
    cases = verdict(found, "every_case")
    assert cases.outcome == "fail"
    assert cases.groups
    assert cases.groups[0] in cases.sentence
    assert verdict(found, "latency").outcome == "pass"


def test_a_scorer_has_a_bound_of_its_own(app):
    scorers = {
        "right": {"kind": "number"},
        "like": {"kind": "similarity", "by": "characters", "passes": 0.1, "bound": 0.95},
    }
    write(app, 40, {f"c{n}": {"expected": n + 1} for n in range(40)})
    with pytest.raises(InvalidInput, match="of which 'like'"):
        declare(app, scorers=scorers).judge("eval_1", "sums")
    scorers["like"] = {"kind": "contains", "values": ["1"], "bound": 0.95}
    found = declare(app, scorers=scorers, bound=0.1).judge("eval_1", "sums")
    assert verdict(found, "bound", "like").outcome == "fail"
    assert found.metrics["score_like"] < 0.6


def test_calls_without_an_answer_count_as_fails_and_are_told(app):
    found = declare(app, target="app:sometimes", bound=0.7, max_errors=0.5).judge("eval_1", "sums")
    told = verdict(found, "answered")
    assert told.outcome == "warn"
    assert "raised an exception" in told.sentence
    assert "ValueError: not now" in told.sentence
    assert found.metrics["errors"] == pytest.approx(120 * told.estimate)
    assert found.metrics["pass_rate"] == pytest.approx(1 - told.estimate)
    found = declare(app, target="app:sometimes", bound=0.1, max_errors=0.02).judge("eval_2", "sums")
    assert verdict(found, "answered").outcome == "fail"


# ── what is refused ──────────────────────────────────────────────────────


def test_a_target_that_answers_nothing_is_no_verdict(app):
    behaviour = declare(app, target="app:raises")
    with pytest.raises(
        Unavailable, match="app:raises answered none of the first 10 calls: ValueError: no"
    ) as caught:
        behaviour.judge("eval_1", "sums")
    assert caught.value.where == "treadle.toml [checks.behaviour.sums] target"
    assert Evaluations(app).list() == []
    assert not list((app.state / "behaviour").glob("*.jsonl"))


def test_a_closed_door_is_told_at_once(app):
    with serving(lambda *_: {"status": 401, "json": {"error": {"message": "no key"}}}) as server:
        target = {"url": server.url, "model": "m", "concurrency": 1}
        with pytest.raises(Unavailable, match="first 1 calls: HTTP 401: no key"):
            declare(app, target=target).judge("eval_1", "sums")
    assert len(server.requests) < 10


@pytest.mark.parametrize(
    ("keys", "error", "says"),
    [
        ({"target": "app:god"}, ConfigError, "app has no 'god'"),
        ({"cases": "nowhere.jsonl"}, InvalidInput, "there is no file"),
        ({"target": {"url": "http://x", "model": "m", "key_env": "NO_KEY"}}, ConfigError, "has no NO_KEY"),
        ({"baseline": "eval_9"}, NotFound, "eval_9"),
        ({"scorers": {"s": {"kind": "python", "call": "app:scoer"}}}, ConfigError, "no 'scoer'"),
        ({"scorers": {"s": {"kind": "json_schema", "schema": "no.json"}}}, ConfigError, "can't be read"),
    ],
)  # fmt: skip
def test_what_can_not_be_meant_is_refused_before_anything_is_asked(app, keys, error, says):
    with pytest.raises(error, match=says):
        declare(app, **keys).judge("eval_1", "sums")
    assert Evaluations(app).list() == []


def test_a_check_that_is_not_there_is_named(app):
    with pytest.raises(ConfigError, match="no behaviour check 'smus'") as caught:
        declare(app).judge("eval_1", "smus")
    assert caught.value.fix == "did you mean 'sums'?"


def test_two_do_not_ask_the_same_at_once(app):
    behaviour, said = declare(app), []

    def again(answered):
        if not said:
            said.append("")
            with pytest.raises(Busy) as caught:
                Behaviour(app).judge("eval_2", "sums")
            said.append(caught.value.message)

    behaviour.judge("eval_1", "sums", watch=Watching(again))
    assert "the check 'sums'" in said[1]


def test_a_full_disk_stops_the_asking(app, monkeypatch):
    import errno

    from treadle.evaluate.behaviour import journal

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal.os, "write", full)
    with pytest.raises(StorageFull, match="no space is left"):
        declare(app, target="app:counted").judge("eval_1", "sums")
    assert len(asked(app)) < 40


def test_a_pattern_that_finds_no_end_costs_the_score_of_one_answer(app, monkeypatch):
    monkeypatch.setattr(setup, "Matcher", functools.partial(Matcher, seconds=0.3))
    monkeypatch.setattr(functions, "_CANCEL_SECONDS", 0.2)
    code = "def answer(text):\n    return 'x' * 40 if text == '7 + 1' else 'xxy'\n"
    (app.root / "app.py").write_text(code)
    scorers = {"right": {"kind": "regex", "pattern": "(x+x+)+y"}}
    found = declare(app, target="app:answer", scorers=scorers, repeats=1).judge("eval_1", "sums")
    assert (found.outcome, found.metrics["pass_rate"]) == ("warn", 1)
    said = verdict(found, "scored")
    assert said.n == 1
    assert "found no end within 0.3 s" in said.sentence


# ── stopping early ───────────────────────────────────────────────────────


@pytest.mark.parametrize(("target", "outcome"), [("app:perfect", "pass"), ("app:bad", "fail")])
def test_asking_stops_when_the_answer_is_known(app, target, outcome):
    write(app, 300)
    stop = {"worse": 0.15, "false_fail": 0.05, "false_pass": 0.05}
    found = declare(app, target=target, bound=0.9, repeats=2, stop_early=stop).judge("eval_1", "sums")
    bound = verdict(found, "bound")
    assert (bound.outcome, bound.test) == (outcome, "sequential probability ratio")
    assert bound.n < 40
    assert found.metrics["calls"] <= 2 * (bound.n + 8)
    assert f"{bound.n} of 300 cases were enough to tell" in bound.sentence
    assert bound.low < bound.estimate or bound.estimate == 0


@pytest.mark.parametrize(("target", "outcome"), [("app:perfect", "pass"), ("app:bad", "fail")])
@pytest.mark.parametrize("bound", [{}, {"bound": 0.7, "stop_early": {"worse": 0.2}}])
def test_asking_stops_beside_a_baseline_when_the_answer_is_known(app, target, outcome, bound):
    write(app, 300)
    keys = {"bound": None, "stop_early": {}, "margin": 0.1, "repeats": 2, **bound}
    behaviour = declare(app, target=target, baseline="app:perfect", **keys)
    found = behaviour.judge("eval_1", "sums")
    told = verdict(found, "no_worse")
    assert (found.outcome, told.outcome, told.test) == (outcome, outcome, "betting, paired")
    assert told.n < 60
    assert found.metrics["calls"] < 2 * 80  # of the target, of 600
    assert f"{told.n} cases were enough to tell" in told.sentence
    assert told.low < told.estimate < told.high
    assert (told.low > -0.1) == (outcome == "pass")


def test_answers_that_stopped_early_are_a_baseline_and_without_one_all_are_asked(app):
    write(app, 100)
    keys = {"bound": None, "baseline": "last", "stop_early": {}, "margin": 0.1, "repeats": 1}
    behaviour = declare(app, target="app:perfect", **keys)
    assert behaviour.judge("eval_1", "sums").metrics["calls"] == 100
    second = behaviour.judge("eval_2", "sums")
    assert (second.outcome, second.baseline) == ("pass", "eval_1")
    assert second.metrics["calls"] < 50
    third = declare(app, target="app:bad", **keys).judge("eval_3", "sums")
    assert (third.outcome, third.baseline) == ("fail", "eval_2")


def test_pairs_that_do_not_suffice_say_how_many_would(app):
    keys = {"bound": None, "stop_early": {}, "margin": 0.02, "repeats": 1}
    found = declare(app, target="app:perfect", baseline="app:perfect", **keys).judge("eval_1", "sums")
    told = verdict(found, "no_worse")
    assert (found.outcome, told.n) == ("inconclusive", 40)
    assert 140 < told.n_needed < 400  # all alike, bets of everything need 149
    assert f"about {told.n_needed} cases would" in told.sentence


def test_cases_that_do_not_suffice_say_how_many_would(app):
    found = declare(app, bound=0.9, stop_early={"worse": 0.01}).judge("eval_1", "sums")
    bound = verdict(found, "bound")
    assert (bound.outcome, bound.n) == ("inconclusive", 40)
    assert bound.n_needed > 40
