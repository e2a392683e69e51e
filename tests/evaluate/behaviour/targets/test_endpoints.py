"""Real requests to a real server that does all that servers do."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from chat_server import completion, serving
from treadle.evaluate.behaviour.targets.endpoints import Embeddings, Endpoint
from treadle.evaluate.behaviour.targets.port import Call
from treadle.evaluate.behaviour.types import Usage
from treadle.kernel.config import TargetConfig
from treadle.kernel.errors import ConfigError, InvalidInput

KEY = "sk-very-secret"


def call(given="hello", seed=7):
    return Call(key="a", repeat=0, input=given, seed=seed)


def chat(server, **keys):
    return Endpoint(TargetConfig(url=server.url, model="m", **keys), "here")


def ask(act, *, timeout=5.0, given="hello", **keys):
    with serving(lambda *_: act) as server:
        target = chat(server, **keys)
        try:
            return target.ask(call(given), timeout)
        finally:
            target.close()


def test_a_chat_is_asked_as_openai_is(monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    with serving(lambda text, count, rng: f"{text} to you") as server:
        target = chat(
            server, key_env="MY_KEY", system="Be kind.", params={"temperature": 0.5}, send_seed=True,
            headers={"x-team": "a"},
        )  # fmt: skip
        reply = target.ask(call(), 5)
        target.ask(call([{"role": "assistant", "content": "hi"}, {"role": "user", "content": "ho"}]), 5)
        target.ask(call({"n": [1]}), 5)
    assert (reply.value, reply.error, reply.usage) == ("hello to you", None, Usage(3, 3))
    assert reply.model == "m-2026-01-01 fp_1"
    first, second, third = server.requests
    assert first == {
        "model": "m", "temperature": 0.5, "seed": 7,
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}],
    }  # fmt: skip
    assert [one["role"] for one in second["messages"]] == ["system", "assistant", "user"]
    assert third["messages"][-1]["content"] == '{"n":[1]}'
    assert (server.headers[0]["authorization"], server.headers[0]["x-team"]) == (f"Bearer {KEY}", "a")
    assert KEY not in repr(reply)


def test_a_key_that_is_not_there_is_refused_before_anything_is_asked(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigError, match="the environment has no MY_KEY"):
        Endpoint(TargetConfig(url="http://127.0.0.1:1/v1", model="m", key_env="MY_KEY"), "here")


def test_any_endpoint_of_json_is_asked_by_its_template(monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    answer = {"json": {"result": [{"text": "fine"}], "usage": {"input_tokens": 4, "output_tokens": 1}}}
    with serving(lambda *_: answer) as server:
        target = Endpoint(
            TargetConfig(
                url=f"{server.url}/ask", api="json", key_env="MY_KEY", key_header="X-Api-Key",
                body={"q": "{input.q}", "raw": ["{input}", 3], "note": "case {id}, {seed} {other}"},
                answer="$.result[0].text",
            ),
            "here",
        )  # fmt: skip
        reply = target.ask(call({"q": {"deep": 1}}), 5)
        with pytest.raises(InvalidInput, match=r"case 'a': there is no 'q'"):
            target.check(call({"p": 1}))
    assert (reply.value, reply.usage) == ("fine", Usage(4, 1))
    assert server.requests == [
        {"q": {"deep": 1}, "raw": [{"q": {"deep": 1}}, 3], "note": "case a, 7 {other}"}
    ]
    assert server.headers[0]["x-api-key"] == KEY


@pytest.mark.parametrize(
    ("action", "error", "says"),
    [
        ({"status": 429, "json": {"error": {"message": "slow down"}}}, "rate_limited", "HTTP 429: slow down"),
        ({"status": 503, "raw": b"<h1>no</h1>"}, "server", "HTTP 503: <h1>no</h1>"),
        ({"status": 408}, "server", "HTTP 408"),
        ({"status": 400, "json": {"message": "bad temperature"}}, "refused", "HTTP 400: bad temperature"),
        ({"status": 302, "headers": {"Location": "http://elsewhere"}}, "refused", "HTTP 302"),
        ({"status": 429, "raw": b'{"error": {"code": "insufficient_quota"}}'}, "refused", "quota"),
        ({"raw": b'{"choices": [{"mess'}, "malformed", "no JSON"),
        ({"raw": b"\xff\xfe"}, "malformed", "no JSON"),
        ({"json": {"choices": []}}, "malformed", r"there is no '0' on the way to choices.0.*is a list of 0"),
        ({"json": {"error": "none"}}, "malformed", "there are the keys error"),
        ({"json": completion({}, None)}, "nothing", "content is null"),
        ({"json": completion({}, "x"), "truncate": True}, "connection", "the answer broke off"),
        ({"hang": 1}, "timeout", "no answer within 0.3 s"),
        ({"text": "slowly", "drip": 0.05}, "timeout", "no answer within 0.3 s"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_told_as_what_it_is(action, error, says):
    begun = time.monotonic()
    reply = ask(action, timeout=0.3 if error == "timeout" else 5.0)
    assert reply.error == error
    assert time.monotonic() - begun < 4
    import re

    assert re.search(says, reply.detail), reply.detail


def test_an_answer_of_gigabytes_is_cut_off():
    reply = ask({"raw": b"x" * (9 << 20)})
    assert (reply.error, reply.detail) == ("too_long", "the answer has more than 8 MiB")


def test_no_server_is_no_connection():
    with serving(lambda *_: "x") as server:
        url = server.url
    reply = Endpoint(TargetConfig(url=url, model="m"), "here").ask(call(), 2)
    assert reply.error == "connection"


def test_a_key_that_a_server_repeats_is_hidden(monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    said = {"status": 401, "json": {"error": {"message": f"Incorrect API key provided: {KEY}."}}}
    reply = ask(said, key_env="MY_KEY")
    assert (reply.status, reply.detail) == (401, "HTTP 401: Incorrect API key provided: ***.")
    for before in range(260, 300, 3):  # also where what is shown of it is cut off
        broken = ask({"raw": b"x" * before + KEY.encode()}, key_env="MY_KEY")
        assert KEY[:4] not in broken.detail


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "2"}, 2.0),
        ({"Retry-After": "7", "retry-after-ms": "150"}, 0.15),
        ({"Retry-After": format_datetime(datetime.now(UTC) - timedelta(days=1))}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_a_server_says_when_it_wants_to_be_asked_again(headers, seconds):
    assert ask({"status": 429, "headers": headers}).retry_after == seconds


def test_a_server_may_say_that_as_a_date():
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert ask({"status": 503, "headers": {"Retry-After": later}}).retry_after == pytest.approx(90, abs=10)


def test_an_answer_that_was_cut_is_known():
    action = {"json": {"choices": [{"finish_reason": "length", "message": {"content": "and then"}}]}}
    assert ask(action).cut


def test_embeddings_come_in_the_order_of_their_texts():
    rows = {"data": [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]}
    with serving(lambda *_: {"json": rows}) as server:
        found = Embeddings(TargetConfig(url=server.url, api="embeddings", model="e"), "here")
        assert found.ask(["a", "b"], 5).value == [[1.0, 2.0], [3.0, 4.0]]
        assert found.ask(["a"], 5).error == "malformed"
        server.act = lambda *_: {"json": {"data": [{"index": 0}]}}
        assert found.ask(["a"], 5).error == "malformed"
        server.act = lambda *_: {"status": 500}
        assert found.ask(["a"], 5).error == "server"
    assert server.requests[0] == {"model": "e", "input": ["a", "b"]}
