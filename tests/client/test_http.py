"""Over the wire, much can go wrong: whatever it is, it is a :class:`TreadleError`."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from treadle.client import Client
from treadle.client.client import actor
from treadle.kernel.errors import NotFound, TreadleError, Unavailable

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def answering(*answers: bytes, asked: list[bytes] | None = None) -> Iterator[str]:
    """A server that answers each connection with bytes, hangs up, and is gone after the last."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            try:
                connection, _ = listener.accept()
            except OSError:
                break  # nobody came, and the test is over
            with connection:
                seen = b""
                while b"\r\n\r\n" not in seen and (piece := connection.recv(65536)):
                    seen += piece
                connection.sendall(answer)
                if asked is not None:
                    asked.append(seen.partition(b" ")[0])
        listener.close()

    thread = threading.Thread(target=serve)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread.start()
    try:
        yield url
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes one that waits for a connection
        thread.join()


def with_length(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 1000\r\n\r\n[{",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n[1,2,\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    ],
)
def test_an_answer_that_breaks_off(answer: bytes) -> None:
    with answering(answer) as url, Client.http(url) as client:
        with pytest.raises(Unavailable, match="the answer broke off") as caught:
            client.runs()
        assert caught.value.where == url


def test_who_finds_nobody_is_told_what_is_not_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with Client.http(url) as client, pytest.raises(Unavailable, match="no answer: nothing listens there"):
        client.health()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1", b"SSH-2.0-OpenSSH\r\n"])
def test_no_answer_at_all(answer: bytes) -> None:
    with answering(answer) as url, Client.http(url) as client, pytest.raises(Unavailable, match="no answer"):
        client.health()


@pytest.mark.parametrize(
    "body", [b"<html>It works!</html>", b"", b"null", b"[]", b'{"version": 1}', b"\xff", b'{"version": "1"}']
)
def test_a_server_that_is_no_treadle(body: bytes) -> None:
    with answering(with_length(b"200 OK", body)) as url, Client.http(url) as client:
        with pytest.raises(TreadleError, match="the answer can't be read") as caught:
            client.health()
        assert caught.value.where == f"{url}/v1/health"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (b"302 Found", TreadleError),
        (b"401 Unauthorized", TreadleError),
        (b"500 Oh", TreadleError),
        (b"502 Bad Gateway", Unavailable),
        (b"503 Busy", Unavailable),
        (b"504 Timeout", Unavailable),
    ],
)
def test_an_error_of_something_in_between(status: bytes, kind: type[TreadleError]) -> None:
    with answering(with_length(status, b"<h1>proxy</h1>")) as url, Client.http(url) as client:
        with pytest.raises(TreadleError, match="<h1>proxy</h1>") as caught:
            client.health()
        assert type(caught.value) is kind
        assert f"the server answered {status.split()[0].decode()}" in caught.value.message


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"code": "not_found", "message": "gone", "where": "here", "fix": "look"}', NotFound),
        (
            b'{"code": "from_the_future", "message": "gone", "where": "here", "fix": "look"}',
            TreadleError,
        ),
    ],
)
def test_an_error_comes_back_as_it_was_raised(body: bytes, kind: type[TreadleError]) -> None:
    with answering(with_length(b"404 Gone", body)) as url, Client.http(url) as client:
        with pytest.raises(TreadleError) as caught:
            client.health()
        assert type(caught.value) is kind
        assert (caught.value.message, caught.value.where, caught.value.fix) == ("gone", "here", "look")


def test_a_download_that_breaks_off_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_text("before")
    with (
        answering(OK + b"Content-Length: 5000000\r\n\r\n" + b"x" * 4_000_000) as url,
        Client.http(url) as client,
        pytest.raises(Unavailable, match="the answer broke off"),
    ):
        client.fetch_blob("0" * 64, target)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_what_only_reads_is_asked_again_when_the_server_hung_up() -> None:
    asked: list[bytes] = []
    with answering(b"", with_length(b"200 OK", b"null"), asked=asked) as url, Client.http(url) as client:
        assert client.replay() is None
    assert asked == [b"GET", b"GET"]


@pytest.mark.parametrize(
    "ask", [lambda c: c.resume(), lambda c: c.stop_replay(), lambda c: c.deploy("a/1", "x")]
)
def test_what_changes_something_is_asked_once(ask: Callable[[Client], object]) -> None:
    """It may have been done before the server hung up."""
    asked: list[bytes] = []
    with (
        answering(b"", with_length(b"200 OK", b"null"), asked=asked) as url,
        Client.http(url) as client,
        pytest.raises(Unavailable, match="no answer"),
    ):
        ask(client)
    assert len(asked) == 1


def test_a_file_that_is_not_there_is_the_caller_s_own_error(tmp_path: Path) -> None:
    with Client.http("http://127.0.0.1:9") as client, pytest.raises(FileNotFoundError):
        client.put_blob(tmp_path / "nothing")


def test_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ada")
    monkeypatch.delenv("TREADLE_ACTOR", raising=False)
    assert actor() == "ada"
    monkeypatch.setenv("TREADLE_ACTOR", "ci")
    assert actor() == "ci"
    monkeypatch.delenv("TREADLE_ACTOR")
    monkeypatch.delenv("USER")
    assert actor() == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)  # nobody has it
    assert actor() == "uid:4000000000"
