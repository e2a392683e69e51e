"""Models as judges and vectors as similarity, asked over HTTP."""

from __future__ import annotations

import json

import msgspec
import pytest

from chat_server import serving
from treadle.evaluate.behaviour.service import Behaviour
from treadle.kernel.config import BehaviourCheck

APP = """
def greet(name):
    return f"Hello {name}, how can I help?" if int(name) % 4 else "What?"

def vectors(texts):
    return [[float(len(text)), 1.0] for text in texts]

def strict(prompt):
    return 5 if "Hello" in prompt else 1
"""


@pytest.fixture
def app(workspace):
    (workspace.root / "greeter.py").write_text(APP)
    cases = [{"id": str(n), "input": str(n), "expected": f"Hello {n}, how can I help?"} for n in range(24)]
    (workspace.root / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))
    return workspace


def judge(workspace, scorer, judges=None, evaluation="eval_1", **keys):
    declared = {
        "cases": "cases.jsonl", "target": "greeter:greet", "repeats": 2, "bound": 0.5,
        "scorers": {"kind": scorer}, "judges": judges or {}, **keys,
    }  # fmt: skip
    checks = msgspec.structs.replace(
        workspace.config.checks, behaviour={"greet": msgspec.convert(declared, BehaviourCheck)}
    )
    workspace.config = msgspec.structs.replace(workspace.config, checks=checks)
    return Behaviour(workspace).judge(evaluation, "greet")


def of(evaluation, check):
    return [one for one in evaluation.verdicts if one.check == check]


JUDGE = {"kind": "judge", "rubric": "Is it kind?", "passes": 0.75}


def kind(text, count, rng):
    return f"Well.\nSCORE: {5 if 'Hello' in text else 1}"


def test_judges_score_answers_once_and_what_they_said_is_kept(app):
    with serving(kind) as server:
        one = {"url": server.url, "model": "judge-1", "input_price": 1.0}
        found = judge(app, JUDGE, {"one": one})
        assert found.metrics["pass_rate"] == 0.75
        assert len(server.requests) == 24  # the same answer to the same question is judged once
        assert found.metrics["cost"] > 0
        told = [answer for answer in Behaviour(app).transcript("eval_1").answers if answer.of == "kind/one"]
        assert (len(told), told[0].reply.model) == (24, "judge-1-2026-01-01 fp_1")
        Behaviour(app).rescore("eval_2", "eval_1")
        assert len(server.requests) == 24
        judge(app, JUDGE, {"one": {**one, "model": "judge-2"}}, "eval_3")
        assert len(server.requests) == 48  # another judge is asked anew


def test_a_judge_that_keeps_to_no_form_is_asked_again_and_then_left_out(app):
    def act(text, count, rng):
        if "<answer" in text and "Hello 1," in text:
            return "I couldn't possibly say."
        return kind(text, count, rng) if count else "Let me think."

    with serving(act) as server:
        found = judge(app, JUDGE, {"one": {"url": server.url, "model": "j"}}, max_errors=0.1)
    [scored] = of(found, "scored")
    assert (scored.outcome, scored.n) == ("warn", 2)
    assert "the judge 'one' gave no score: \"I couldn't possibly say.\"" in scored.sentence
    assert len(server.requests) == 23 * 2 + 3
    assert found.metrics["pass_rate"] == pytest.approx(17 / 23)


def test_a_judge_that_never_keeps_to_the_form_can_not_pass_anything(app):
    with serving(lambda *_: "Lovely!") as server:
        found = judge(app, JUDGE, {"one": {"url": server.url, "model": "j"}})
    assert found.outcome == "inconclusive"
    assert "No case has an answer that could be scored" in of(found, "bound")[0].sentence


@pytest.mark.parametrize(("second", "outcome"), [("greeter:strict", "pass"), ("random", "inconclusive")])
def test_judges_that_do_not_agree_are_not_believed(app, second, outcome):
    random = lambda text, count, rng: f"SCORE: {rng.randint(1, 5)}"  # noqa: E731
    with serving(random) as server:
        other = {"url": server.url, "model": "j"} if second == "random" else {"call": second}
        judges = {"one": {"call": "greeter:strict"}, "two": other}
        found = judge(app, {**JUDGE, "agreement": 0.6, "level": "interval"}, judges)
    [agreement] = of(found, "agreement")
    assert agreement.outcome == outcome
    assert (agreement.estimate == 1) == (outcome == "pass")
    assert agreement.n == 24


@pytest.mark.parametrize("kept", ["function", "endpoint"])
def test_vectors_come_from_a_function_or_an_endpoint(app, kept):
    def act(text, count, rng):
        texts = json.loads(text)
        rows = [{"index": n, "embedding": [float(len(one)), 1.0]} for n, one in enumerate(texts)]
        return {"json": {"data": rows}}

    with serving(act) as server:
        source = {"call": "greeter:vectors"}
        if kept == "endpoint":
            source = {"url": server.url, "api": "embeddings", "model": "e"}
        scorer = {"kind": "similarity", "by": "embedding", "embedding": source, "passes": 0.999}
        found = judge(app, scorer)
    assert found.metrics["pass_rate"] == 0.75
    assert len(server.requests) == (1 if kept == "endpoint" else 0)


def test_vectors_that_do_not_come_leave_doubt(app):
    with serving(lambda *_: {"status": 400}) as server:
        source = {"url": server.url, "api": "embeddings", "model": "e"}
        found = judge(app, {"kind": "similarity", "by": "embedding", "embedding": source, "passes": 0.9})
    assert found.outcome == "inconclusive"
    assert "HTTP 400" in of(found, "scored")[0].sentence
