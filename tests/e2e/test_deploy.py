"""A version that can't be served: the one before it answers on, without a failed request."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.test_requests import CARRIER, HOUR, sent
from e2e.user import User, ask, refused, wait_until


@pytest.fixture
def second(user: User) -> tuple[User, Path]:
    """toy/2 was in production and toy/1 is again; the user, and where the bytes of toy/2's model lie."""
    user.edit("train.py", "0.999", "0.998")
    assert "toy/2 is in production" in user.run("run").out
    assert user.run("deploy", "toy/1", "--reason", "back").code == 0
    model = user.json("models", "2")
    digest = next(file["digest"] for file in model["files"] if file["path"] == "model.onnx")
    return user, user.folder / ".treadle" / "blobs" / "b3" / digest[:2] / digest[2:]


@contextlib.contextmanager
def asking(url: str) -> Iterator[list[tuple[int, str]]]:
    """Somebody who asks without pause: the status and the version of each answer."""
    answers: list[tuple[int, str]] = []
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            status, answer = ask("POST", f"{url}/infer", sent(HOUR, CARRIER))
            answers.append((status, answer["model_version"] if status == 200 else ""))

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


REFUSED = {
    "changed": ("the inference server can't load it", "toy/2, revision", "the version before it serves on"),
    "gone": ("model.onnx of toy/2 isn't in the blob store any more", "toy/2", "nothing was deployed"),
}


@pytest.mark.parametrize("damage", ["changed", pytest.param("gone", marks=pytest.mark.soak)])
def test_a_version_whose_bytes_are_broken_is_refused_and_the_old_one_serves_on(
    second: tuple[User, Path], damage: str
) -> None:
    user, blob = second
    if damage == "changed":
        blob.chmod(0o644)
        blob.write_bytes(b"garbage")
    else:
        blob.unlink()
    with user.up() as url, asking(url) as answers:
        wait_until(lambda: user.json("deploy")["serving"] is not None)
        before = user.state()
        done = user.run("deploy", "toy/2", "--reason", "it was better")
        refused(done, *REFUSED[damage])
        assert user.json("deploy")["serving"]["version"] == 1
    assert set(answers) == {(200, "1")}
    assert user.state().keeps(before, "events", "revisions")
    assert user.json("models", "@production")["number"] == 1


def test_a_version_that_never_passed_the_gate_is_not_deployed(user: User) -> None:
    user.edit("treadle.toml", "bound = 0.6", "bound = 0.99")
    user.edit("train.py", "0.999", "0.998")
    assert user.run("run").code == 1
    before = user.state()
    refused(
        user.run("deploy", "toy/2", "--reason", "I know better"),
        "toy/2 is refused and has never been in production",
        "toy/2",
        "a cycle's gate or `treadle models approve` lets a version in",
    )
    done = user.run("deploy", "toy/3", "--reason", "I guess")
    assert (done.code, done.err.splitlines()[0]) == (2, "error: there is no version 3 of toy"), done
    assert user.state() == before
