"""Many questions: several at once, no faster than allowed, again where that helps, within a budget."""

from __future__ import annotations

import os
import threading
import time

import pytest

from chat_server import serving
from treadle.evaluate.behaviour.asking import Asker, Budget, Job, Pacer, ask_all
from treadle.evaluate.behaviour.journal import Journal
from treadle.evaluate.behaviour.targets.endpoints import Endpoint
from treadle.evaluate.behaviour.targets.port import Call
from treadle.evaluate.behaviour.types import Answered, Reply, Usage
from treadle.kernel.config import TargetConfig
from treadle.kernel.errors import Busy, CorruptData

CONFIG = TargetConfig(call="a:b")


class Made:
    """A target that is a function of this test."""

    name = "made"

    def __init__(self, answer):
        self.answer = answer

    def ask(self, call, timeout):
        found = self.answer(call)
        return found if isinstance(found, Reply) else Reply(value=found)

    def check(self, call):
        pass

    def close(self):
        pass


def calls(count):
    return [Call(key=str(n), repeat=0, input=f"say {n}", seed=n) for n in range(count)]


def run(target, config=CONFIG, count=10, *, budget=None, take=None, stop=None):
    stop = stop or threading.Event()
    found = []
    asker = Asker("target", target, config, stop, pause=0.01)
    complete = ask_all([Job(asker, calls(count))], budget or Budget(None), stop, take or found.append)
    return complete, found


def over_http(act, count=10, **keys):
    with serving(act) as server:
        config = TargetConfig(url=server.url, model="m", **keys)
        complete, found = run(Endpoint(config, "here"), config, count)
    return server, complete, found


# ── limits ───────────────────────────────────────────────────────────────


def test_no_more_calls_are_under_way_than_allowed():
    server, complete, found = over_http(lambda *_: {"text": "x", "hang": 0.05}, 12, concurrency=3)
    assert (complete, len(found), server.busiest) == (True, 12, 3)


def test_calls_begin_no_faster_than_allowed():
    server, _, _ = over_http(lambda *_: "x", 6, rate=600, concurrency=6)
    gaps = [b - a for a, b in zip(server.times, server.times[1:], strict=False)]
    assert min(gaps) > 0.02
    assert sum(gaps) > 0.4


def test_a_target_that_asks_to_wait_holds_back_all_calls():
    stop = threading.Event()
    pacer = Pacer(None, stop)
    assert pacer.wait()
    pacer.hold(0.2)
    begun = time.monotonic()
    assert pacer.wait()
    assert time.monotonic() - begun >= 0.19
    pacer.hold(60)
    threading.Timer(0.05, stop.set).start()
    assert not pacer.wait()


# ── again ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "failure",
    [
        {"status": 429, "headers": {"retry-after-ms": "30"}},
        {"status": 500},
        {"status": 503, "headers": {"Retry-After": "0"}},
        {"text": "x", "truncate": True},
    ],
)
def test_what_may_go_by_is_tried_again(failure):
    server, complete, found = over_http(lambda _, count, __: failure if count < 2 else "fine", 4)
    assert complete
    assert [(one.reply.value, one.reply.tries) for one in found] == [("fine", 3)] * 4
    assert server.asked("say 0") == 3


def test_a_timeout_is_tried_again():
    act = lambda _, count, __: {"text": "late", "hang": 1.0} if count == 0 else "fine"  # noqa: E731
    _, _, found = over_http(act, 1, timeout="0.3s")
    assert (found[0].reply.value, found[0].reply.tries) == ("fine", 2)
    assert found[0].reply.seconds < 0.3  # of the call that came to it


def test_what_stays_wrong_is_an_error_after_all_tries():
    _, complete, found = over_http(lambda *_: {"status": 500}, 2, retries=2)
    assert complete
    assert [(one.reply.error, one.reply.tries) for one in found] == [("server", 3)] * 2


@pytest.mark.parametrize(
    "failure", [{"status": 400}, {"raw": b"{"}, {"status": 429, "headers": {"Retry-After": "9999"}}]
)
def test_what_would_not_go_by_is_not_tried_again(failure):
    server, _, found = over_http(lambda *_: failure, 1)
    assert found[0].reply.tries == 1
    assert server.asked("say 0") == 1


def test_functions_are_asked_once():
    _, found = run(Made(lambda call: Reply(error="timeout")), count=2)
    assert [one.reply.tries for one in found] == [1, 1]


# ── cost ─────────────────────────────────────────────────────────────────


def test_every_try_is_paid_for():
    config = TargetConfig(url="http://x", model="m", input_price=2.0, output_price=10.0, call_price=0.5)
    replies = iter([Reply(error="server"), Reply(value="x", usage=Usage(100, 50))])
    _, (found,) = run(Made(lambda _: next(replies)), config, 1)
    assert found.cost == pytest.approx(2 * 0.5 + (100 * 2 + 50 * 10) / 1e6)


def test_a_budget_stops_before_it_is_overdrawn():
    config = TargetConfig(call="a:b", call_price=1.0, concurrency=1)
    budget = Budget(4.5)
    complete, found = run(Made(lambda _: "x"), config, 10, budget=budget)
    assert (complete, len(found), budget.spent) == (False, 4, 4.0)
    complete, found = run(Made(lambda _: "x"), config, 10, budget=Budget(4.5, spent=4.5))
    assert (complete, found) == (False, [])


def test_a_budget_counts_what_is_under_way():
    config = TargetConfig(call="a:b", call_price=1.0, concurrency=4)
    budget = Budget(10.0)
    complete, found = run(Made(lambda _: time.sleep(0.01) or "x"), config, 40, budget=budget)
    assert not complete
    assert 8 <= len(found) <= 10
    assert budget.spent <= 10


# ── stopping ─────────────────────────────────────────────────────────────


def test_whoever_stops_gets_what_is_under_way():
    stop, found = threading.Event(), []

    def take(answered):
        found.append(answered)
        stop.set()

    complete, _ = run(Made(lambda _: time.sleep(0.05) or "x"), count=50, stop=stop, take=take)
    assert not complete
    assert CONFIG.concurrency <= len(found) <= 2 * CONFIG.concurrency


def test_an_interruption_stops_all_and_keeps_what_came():
    stop, found = threading.Event(), []

    def take(answered):
        found.append(answered)
        if len(found) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Made(lambda _: time.sleep(0.002) or "x"), count=1000, stop=stop, take=take)
    assert stop.is_set()
    assert 3 <= len(found) < 1000


def test_what_a_target_should_not_raise_is_raised():
    with pytest.raises(ZeroDivisionError):
        run(Made(lambda _: 1 / 0))


def test_targets_are_asked_side_by_side():
    stop, both = threading.Event(), threading.Barrier(2, timeout=5)
    meet = Made(lambda _: (both.wait() and None) or "x")
    jobs = [Job(Asker(of, meet, CONFIG, stop), calls(1)) for of in ("target", "baseline")]
    found = []
    assert ask_all(jobs, Budget(None), stop, found.append)
    assert {one.of for one in found} == {"target", "baseline"}


# ── the journal ──────────────────────────────────────────────────────────


def answered(n):
    return Answered(of="target", key=str(n), repeat=0, reply=Reply(value=f"é{n}"), cost=0.5, at=time.time())


def test_a_journal_goes_on_where_it_was(tmp_path):
    with Journal.opened(tmp_path, "c", "k" * 64) as journal:
        journal.add(answered(1))
        journal.add(answered(2))
    with Journal.opened(tmp_path, "c", "k" * 64) as journal:
        assert [one.key for one in journal.answers] == ["1", "2"]
        assert journal.resumed == 2
        journal.add(answered(3))
    with Journal.opened(tmp_path, "c", "x" * 64) as journal:
        assert journal.answers == []
    with Journal.opened(tmp_path, "c", "k" * 64) as journal:
        assert journal.answers[2].reply.value == "é3"
        journal.remove()
    assert not journal.path.exists()


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_line_that_was_never_finished_is_cut_off(tmp_path, cut):
    with Journal.opened(tmp_path, "c", "k") as journal:
        journal.add(answered(1))
        journal.add(answered(2))
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:-cut])
    with Journal.opened(tmp_path, "c", "k") as again:
        assert [one.key for one in again.answers] == ["1"]
        again.add(answered(2))
    with Journal.opened(tmp_path, "c", "k") as again:
        assert [one.key for one in again.answers] == ["1", "2"]


def test_a_line_that_is_none_is_named(tmp_path):
    with Journal.opened(tmp_path, "c", "k") as journal:
        journal.add(answered(1))
    with journal.path.open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(CorruptData) as caught, Journal.opened(tmp_path, "c", "k"):
        pass
    assert caught.value.where == f"{journal.path}:3"


def test_a_journal_that_is_old_or_unwanted_is_put_aside(tmp_path):
    with Journal.opened(tmp_path, "c", "k") as journal:
        journal.add(
            Answered(of="target", key="1", repeat=0, reply=Reply(value=1), at=time.time() - 8 * 86_400)
        )
    with Journal.opened(tmp_path, "c", "k") as again:
        assert again.answers == []
        again.add(answered(1))
    assert journal.path.with_suffix(".old").exists()
    with Journal.opened(tmp_path, "c", "k", fresh=True) as again:
        assert again.answers == []


def test_two_do_not_ask_the_same_at_once(tmp_path):
    said = []

    def other():
        try:
            with Journal.opened(tmp_path, "c", "k"):
                pass
        except Busy as error:
            said.append(error)

    with Journal.opened(tmp_path, "c", "k"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert f"process {os.getpid()}" in said[0].message
