"""Ranges of bytes, as RFC 9110 has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from treadle.api.ranges import parse_range
from treadle.client import Client
from treadle.client.inprocess import InProcessTransport
from treadle.data import AddPath
from treadle.kernel.errors import InvalidInput


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=5-", (5, 100)),
        ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes = 99-99", (99, 100)),
        ("bytes=0-1,5-6", None),
        ("bytes=9-3", None),
        ("bytes=a-b", None),
        ("bytes=-", None),
        ("items=0-9", None),
        ("bytes=²-9", None),
    ],
)
def test_ranges(header: str, span: tuple[int, int] | None) -> None:
    assert parse_range(header, 100) == span


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_nothing_lies_there(header: str) -> None:
    with pytest.raises(InvalidInput, match="isn't within"):
        parse_range(header, 100)


def test_files_are_answered_by_ranges(project: Path) -> None:
    transport = InProcessTransport(project)
    (project / "one").write_bytes(b"0123456789")
    digest = Client(transport).add_path(AddPath(path="one"))
    target = "/v1/datasets/one/files/v1/one"

    def ask(method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = transport.send(method, target, headers=named)
        return answer.status, answer.read(), dict(answer.headers)

    status, body, told = ask()
    assert (status, body, told["accept-ranges"], told["treadle-version"]) == (
        200, b"0123456789", "bytes", "one@v1",
    )  # fmt: skip
    assert told["etag"] != f'"{digest.digest}"'
    status, body, partly = ask(range="bytes=2-4")
    assert (status, body, partly["content-range"], partly["content-length"]) == (
        206, b"234", "bytes 2-4/10", "3",
    )  # fmt: skip
    status, body, wrong = ask(range="bytes=10-")
    assert (status, body, wrong["content-range"]) == (416, b"", "bytes */10")
    assert ask(if_none_match=told["etag"])[:2] == (304, b"")
    assert ask(range="bytes=2-4", if_range='"other"')[:2] == (200, b"0123456789")
    assert ask(range="bytes=2-4", if_range=told["etag"])[0] == 206
    status, body, head = ask("HEAD")
    assert (status, body, head["content-length"]) == (200, b"", "10")
    transport.close()
