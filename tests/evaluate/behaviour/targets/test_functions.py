"""Functions run in a process of their own: nothing that they do ends the check."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from treadle.evaluate.behaviour.targets.functions import FunctionHost, FunctionTarget
from treadle.evaluate.behaviour.targets.port import Call, seed_of
from treadle.evaluate.behaviour.types import Case, Usage
from treadle.kernel.config import TargetConfig
from treadle.kernel.errors import ConfigError

APP = """
import asyncio, math, os, signal, sys, time
import helper

def echo(given):
    print("printed, not answered")
    return given

def seeded(given, *, seed, temperature=1.0, case=None):
    return [given, seed, temperature, case and case["id"]]

async def later(given):
    await asyncio.sleep(given)
    return "late"

def sleep(given):
    time.sleep(given)
    return "slept"

def bad(given):
    return {"none": None, "nan": math.nan, "inf": [1, {"x": math.inf}], "object": object(), "set": {1},
            "long": "x" * (5 << 20), "surrogate": "\\ud800", "keys": {(1, 2): 3}}[given]

def array(given):
    import numpy as np
    return np.arange(given)

def exits(given):
    if given == "kill":
        os.kill(os.getpid(), 9)
    if given == "exit":
        print("about to go", file=sys.stderr, flush=True)
        os._exit(3)
    time.sleep(given)
    return "stayed"

def interrupted(given):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
    return "stayed"

def quits(given):
    sys.exit(1)

def raises(given):
    raise ValueError("not " + given)

def usage(given):
    return {"out": {"text": given}, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}

class Bot:
    async def __call__(self, given):
        return given.upper()

bot = Bot()
number = 3
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("project")
    (found / "app.py").write_text(APP)
    (found / "helper.py").write_text("")
    return found


@pytest.fixture(scope="module")
def host(folder):
    found = FunctionHost(folder, folder / "log" / "out.log")
    yield found
    found.close()


def target(host, name, **keys):
    return FunctionTarget(host, TargetConfig(call=f"app:{name}", **keys), "here")


def call(given, seed=5):
    return Call(key="a", repeat=0, input=given, seed=seed, case=Case(id="a", input=given))


def test_a_function_answers_and_what_it_prints_is_kept(host, folder):
    reply = target(host, "echo").ask(call({"x": [1, "é"]}), 5)
    assert (reply.value, reply.error) == ({"x": [1, "é"]}, None)
    assert "printed" in (folder / "log" / "out.log").read_text()


def test_it_is_given_seed_case_and_parameters_if_it_takes_them(host):
    found = target(host, "seeded", params={"temperature": 0.2})
    assert found.ask(call("x"), 5).value == ["x", 5, 0.2, "a"]
    with pytest.raises(ConfigError, match="takes no 'temperatur'") as caught:
        target(host, "seeded", params={"temperatur": 0.2})
    assert caught.value.where == "here params"


def test_async_functions_and_objects_answer(host):
    assert target(host, "later").ask(call(0), 5).value == "late"
    assert target(host, "bot").ask(call("hi"), 5).value == "HI"


def test_an_answer_and_its_tokens_are_found_by_a_path(host):
    found = target(host, "usage", answer="out.text")
    assert found.ask(call("hi"), 5).value == "hi"
    assert found.ask(call("hi"), 5).usage == Usage(3, 2)
    assert target(host, "usage", answer="out.txt").ask(call("hi"), 5).error == "malformed"
    assert target(host, "echo", answer="x").ask(call({"x": None}), 5).error == "nothing"


def test_arrays_are_lists(host):
    assert target(host, "array").ask(call(3), 10).value == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [("none", "nothing", "nothing"), ("nan", "not_json", "NaN"), ("inf", "not_json", "infinity"),
     ("object", "not_json", "object"), ("long", "too_long", "bytes"), ("surrogate", "not_json", "str"),
     ("keys", "not_json", "dict")],
)  # fmt: skip
def test_what_is_no_answer_is_an_error(host, given, error, says):
    reply = target(host, "bad").ask(call(given), 5)
    assert (reply.error, reply.value) == (error, None)
    assert says in reply.detail


def test_what_it_raises_is_told_with_its_line(host):
    reply = target(host, "raises").ask(call("good"), 5)
    assert reply.error == "raised"
    assert reply.detail.startswith("ValueError: not good (app.py:")
    assert target(host, "quits").ask(call(""), 5).detail.startswith("SystemExit: 1")


@pytest.mark.parametrize("name", ["later", "sleep"])
def test_what_takes_too_long_is_given_up(host, name):
    found = target(host, name)
    assert found.ask(call(0), 5).error is None
    begun = time.monotonic()
    reply = found.ask(call(60), 0.2)
    assert (reply.error, reply.detail) == ("timeout", "no answer within 0.2 s")
    assert time.monotonic() - begun < 5
    assert found.ask(call(0), 5).error is None


def test_what_stops_everything_is_ended(host, folder):
    """An async function that doesn't let go of the loop; others can't even be given up."""
    (folder / "stuck.py").write_text(
        "import time\nasync def f(given):\n    time.sleep(given)\n    return 1\n"
    )
    found = FunctionTarget(host, TargetConfig(call="stuck:f"), "here")
    assert found.ask(call(60), 0.2).error == "timeout"
    assert found.ask(call(0), 10).value == 1


@pytest.mark.parametrize(("given", "says"), [("kill", "signal 9"), ("exit", "exit code 3: about to go")])
def test_a_process_that_dies_is_an_error_and_is_started_again(host, given, says):
    found = target(host, "exits")
    reply = found.ask(call(given), 5)
    assert reply.error == "crashed"
    assert says in reply.detail
    assert found.ask(call(0), 10).value == "stayed"


def test_what_an_earlier_process_printed_is_not_taken_for_the_reason(folder, tmp_path):
    log = tmp_path / "out.log"
    log.write_text("KeyboardInterrupt\n")
    with contextlib.closing(FunctionHost(folder, log)) as host:
        assert target(host, "exits").ask(call("kill"), 5).detail == "the process ended with signal 9"


def test_ctrl_c_is_for_whoever_asks(host):
    """A terminal interrupts every process of the command."""
    found = target(host, "interrupted")
    assert found.ask(call(None), 5).value == "stayed"
    assert found.ask(call(None), 5).value == "stayed"


def test_only_the_call_that_killed_the_process_is_blamed(host):
    found = target(host, "exits")
    with ThreadPoolExecutor(6) as pool:
        replies = list(
            pool.map(lambda given: found.ask(call(given), 30), [0.4, 0.4, "kill", 0.4, "exit", 0.4])
        )
    assert [one.error for one in replies] == [None, None, "crashed", None, "crashed", None]


def test_many_are_asked_at_once(host):
    found = target(host, "sleep")
    found.ask(call(0), 5)
    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: found.ask(call(0.5), 30), range(8)))
    assert time.monotonic() - begun < 3.5  # one after the other: 4 s


@pytest.mark.parametrize(
    ("spec", "says"),
    [("nowhere:f", "no module 'nowhere'"), ("app:ecko", "no 'ecko'; it has .*echo"),
     ("app:number", "is no function"),
     ("broken:f", r"importing broken raised ZeroDivisionError: division by zero \(broken.py:1\)"),
     ("gone:f", "the process ended with exit code 7")],
)  # fmt: skip
def test_a_function_that_is_not_there_is_named(host, folder, spec, says):
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "gone.py").write_text("import os\nos._exit(7)\n")
    with pytest.raises(ConfigError, match=says) as caught:
        host.load(spec, "treadle.toml [checks.behaviour.a] target")
    assert caught.value.where == "treadle.toml [checks.behaviour.a] target"


def test_the_code_has_an_identity_that_changes_with_what_is_imported(host, folder):
    before = host.load("app:echo", "here").code
    (folder / "helper.py").write_text("x = 1\n")
    again = FunctionHost(folder, folder / "log" / "again.log")
    try:
        assert again.load("app:echo", "here").code != before
    finally:
        again.close()


def test_the_process_ends_with_whoever_started_it(host):
    target(host, "echo").ask(call("x"), 5)
    process = host._child.process
    process.stdin.close()
    assert process.wait(5) == 0


def test_seeds_of_repeats_differ_and_stay():
    seeds = {seed_of(1, key, repeat) for key in "abc" for repeat in range(10)}
    assert len(seeds) == 30
    assert max(seeds) < 2**31
    assert seed_of(1, "a", 0) == seed_of(1, "a", 0) != seed_of(2, "a", 0)
    assert threading.active_count() < 50
