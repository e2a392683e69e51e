"""Behaviour checks that are interrupted, changed, stopped by a budget or scored again."""

from __future__ import annotations

import threading
import time

import pytest

from sums import APP, Watching, asked, declare, verdict, write
from treadle.evaluate import Evaluations
from treadle.evaluate.keeping import KeptByEvaluations
from treadle.evaluate.watching import Cancelled
from treadle.kernel.errors import (
    InvalidInput,
    NotFound,
)

# ── going on, and again ──────────────────────────────────────────────────


def test_an_interrupted_check_goes_on_where_it_was(app):
    behaviour = declare(app, target="app:counted")
    count = 0

    def interrupt(answered):
        nonlocal count
        count += answered
        if count == 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        behaviour.judge("eval_1", "sums", watch=Watching(interrupt))
    assert Evaluations(app).list() == []
    (journal,) = (app.state / "behaviour").glob("*.jsonl")
    kept = len(journal.read_text().splitlines()) - 1
    assert 50 <= kept < 120
    before = len(asked(app))
    found = behaviour.judge("eval_1", "sums")
    assert found.outcome == "pass"
    assert len(asked(app)) - before == 120 - kept
    told = verdict(found, "resumed")
    assert told.n == kept
    assert "were asked for again" not in told.sentence
    assert not journal.exists()


def test_whoever_stops_it_does_not_wait_for_a_scorer_that_takes_its_time(app):
    (app.root / "slow.py").write_text("import time\n\ndef score(answer, case):\n    time.sleep(30)\n")
    behaviour = declare(app, target="app:counted", scorers={"slow": {"kind": "python", "call": "slow:score"}})
    begun = []

    def all_answered(_):
        if len(asked(app)) == 120 and not begun:
            begun.append(time.monotonic())
            threading.Timer(0.3, watch.cancel, ["ana stopped it"]).start()

    watch = Watching(all_answered)
    with pytest.raises(Cancelled, match="ana"):
        behaviour.judge("eval_1", "sums", watch=watch)
    assert time.monotonic() - begun[0] < 20
    assert Evaluations(app).list() == []


def test_what_changed_is_not_gone_on_with(app):
    watch = Watching(lambda answered: 1 / (not answered))
    with pytest.raises(ZeroDivisionError):
        declare(app, target="app:counted").judge("eval_1", "sums", watch=watch)
    (app.root / "app.py").write_text(APP + "\n# changed\n")
    found = declare(app, target="app:counted").judge("eval_1", "sums")
    assert not [one for one in found.verdicts if one.check == "resumed"]


def test_a_changed_case_alone_is_asked_again(app, monkeypatch):
    from treadle.evaluate.behaviour import service

    real = service.Evaluations.keep
    monkeypatch.setattr(service.Evaluations, "keep", lambda self, made: 1 / 0)
    behaviour = declare(app, target="app:counted")
    with pytest.raises(ZeroDivisionError):
        behaviour.judge("eval_1", "sums")  # all is answered, and it ends before that is kept
    monkeypatch.setattr(service.Evaluations, "keep", real)
    assert len(asked(app)) == 120
    write(app, 40, {"c3": {"input": "5 + 5", "expected": 10}, "c4": {"expected": 7}})
    behaviour.judge("eval_1", "sums")
    assert asked(app)[120:] == ["5 + 5"] * 3


def test_a_budget_stops_and_a_larger_one_goes_on(app):
    target = {"call": "app:counted", "call_price": 0.01, "concurrency": 1}
    found = declare(app, target=target, budget=0.5).judge("eval_1", "sums")
    assert found.outcome == "inconclusive"
    assert "ended the asking at 0.5, after 50 of 120 calls" in verdict(found, "budget").sentence
    assert found.metrics["cost"] == pytest.approx(0.5)
    assert len(asked(app)) == 50
    found = declare(app, target=target, budget=5.0).judge("eval_2", "sums")
    assert found.outcome == "pass"
    assert len(asked(app)) == 120
    assert found.metrics["cost"] == pytest.approx(1.2)


def test_answers_are_kept_and_can_be_scored_again(app):
    write(app, 40, {"c7": {"expected": 99}})
    behaviour = declare(app, target="app:counted", bound=0.95)
    first = behaviour.judge("eval_1", "sums")
    assert verdict(first, "bound").estimate == pytest.approx(39 / 40)
    told = behaviour.transcript("eval_1")
    assert len(told.answers) == 120
    assert told.answers[0].reply.value
    with app.database.read() as connection:
        assert first.basis.answers in set(KeptByEvaluations().blobs(app, connection, frozenset()))
    write(app, 40)
    found = declare(app, target="app:counted", bound=0.9).rescore("eval_2", "eval_1")
    assert verdict(found, "bound").estimate == 1
    assert found.basis.replays == "eval_1"
    assert found.basis.candidate == "app:counted"
    assert "Answers of eval_1" in verdict(found, "replay").sentence
    assert len(asked(app)) == 120
    write(app, 40, {"c7": {"input": "7 + 2", "expected": 9}})
    with pytest.raises(
        InvalidInput, match=r"1 cases of cases.jsonl weren't asked in eval_1, or otherwise: c7"
    ):
        behaviour.rescore("eval_3", "eval_1")
    with pytest.raises(NotFound):
        behaviour.rescore("eval_3", "eval_0")


def test_earlier_answers_can_be_what_others_are_held_against(app):
    behaviour = declare(app, target="app:counted", baseline="last", repeats=1)
    first = behaviour.judge("eval_1", "sums")
    assert "nothing to be worse than" in verdict(first, "no_worse").sentence
    write(app, 40, {"c7": {"input": "7 + 2", "expected": 9}})
    found = declare(app, target="app:bad", baseline="last", bound=None, repeats=5).judge("eval_2", "sums")
    assert (found.outcome, found.baseline) == ("fail", "eval_1")
    assert verdict(found, "no_worse").n == 39
    assert "1 of 40 cases have nothing of eval_1 beside them" in verdict(found, "compared").sentence
    assert len(asked(app)) == 40
    named = declare(app, target="app:bad", repeats=5).judge("eval_3", "sums", baseline="eval_1")
    assert verdict(named, "no_worse").estimate == verdict(found, "no_worse").estimate
