"""What pointers say, and what is refused of them."""

from __future__ import annotations

import json

import pytest

from treadle.data.types import Source
from treadle.interop.dvc.importing import dataset_names
from treadle.interop.dvc.pointers import is_pointer, read_folder, read_lock, read_pointer
from treadle.kernel.errors import InvalidInput

MD5 = "60b725f10c9c85c70d97880dfe8191b3"


def out(**changed: object) -> bytes:
    """A pointer of one output."""
    return json.dumps({"outs": [{"md5": MD5, "hash": "md5", "path": "x", "size": 2, **changed}]}).encode()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b"outs: [", "a.dvc"),
        (b"[]", "a.dvc"),
        (b"\xff\xfe\x00", "a.dvc"),
        (b"outs: []", "a.dvc: outs"),
        (b"outs: 3", "a.dvc: outs"),
        (b"outs: [3]", "a.dvc: outs[0]"),
        (out(md5="60b7"), "a.dvc: outs[0].md5"),
        (out(md5=f"{MD5}.exe"), "a.dvc: outs[0].md5"),
        (out(md5=17), "a.dvc: outs[0].md5"),
        (out(hash="sha256"), "a.dvc: outs[0]"),
        (out(path="../x"), "a.dvc: outs[0].path"),
        (out(path="/etc/passwd"), "a.dvc: outs[0].path"),
        (out(path="s3://bucket/x"), "a.dvc: outs[0].path"),
        (out(path=".git/config"), "a.dvc: outs[0].path"),
        (out(path=""), "a.dvc: outs[0].path"),
        (out(size=-1), "a.dvc: outs[0].size"),
        (out(nfiles="many"), "a.dvc: outs[0].nfiles"),
        (b"outs: [{etag: abc, path: x}]", "a.dvc: outs[0]"),
        (b"wdir: ../..\nouts: [{md5: " + MD5.encode() + b", path: x}]", "a.dvc: wdir"),
        (b"<<<<<<< HEAD\nouts:\n=======\n", "a.dvc"),
    ],
)
def test_bad_pointers_are_refused_with_their_field(text: bytes, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_pointer("a.dvc", text)
    assert caught.value.where == field


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../up", "a/../../up", ".", "a//b", "a/./b", "", "\0", ".git/x"]
)
def test_a_folder_names_nothing_outside_of_it(path: str) -> None:
    body = json.dumps([{"md5": MD5, "relpath": path}]).encode()
    with pytest.raises(InvalidInput, match=r"relpath"):
        read_folder("abc.dir", body, where="a.dvc: outs[0]")


def test_a_folder_names_nothing_twice() -> None:
    body = json.dumps([{"md5": MD5, "relpath": "a"}] * 2).encode()
    with pytest.raises(InvalidInput, match="twice"):
        read_folder("abc.dir", body, where="a.dvc: outs[0]")


def test_pointers_of_dvc_2_and_3_are_told_apart() -> None:
    new, old = (
        read_pointer("d/a.dvc", out()),
        read_pointer("a.dvc", f"outs: [{{md5: {MD5}, path: a}}]".encode()),
    )
    assert (new[0].path, new[0].legacy, new[0].size) == ("d/x", False, 2)
    assert (old[0].path, old[0].legacy, old[0].size) == ("a", True, None)


def test_what_dvc_does_not_keep_is_passed_over() -> None:
    assert read_pointer("a.dvc", out(cache=False)) == []
    assert read_pointer("a.dvc", b"outs: [{path: x}]") == []


def test_an_import_tells_where_it_comes_from() -> None:
    text = b"deps: [{path: x, repo: {url: 'https://example.com/r', rev_lock: abc}}]\n" + out()[1:-1].replace(
        b'"outs":', b"outs:"
    )
    assert read_pointer("a.dvc", text)[0].made_of == (Source("dvc-import", "https://example.com/r@abc", "x"),)


def test_stages_tell_their_command_and_what_they_used() -> None:
    lock = {
        "schema": "2.0",
        "stages": {
            "fit@a": {
                "cmd": ["one", "two"],
                "deps": [{"path": "in", "md5": MD5, "hash": "md5"}],
                "outs": [{"path": "m", "md5": MD5, "hash": "md5"}],
            }
        },
    }
    pipeline = b"stages: {fit: {foreach: [a], do: {cmd: x, wdir: sub}}}"
    found = read_lock("p/dvc.lock", json.dumps(lock).encode(), pipeline)
    assert [one.path for one in found] == ["p/sub/m"]
    assert found[0].made_of == (
        Source("dvc-stage", "p/dvc.lock:fit@a", "one && two"),
        Source("dvc-dep", "p/sub/in", MD5),
    )


def test_an_unknown_schema_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'3\.0'"):
        read_lock("dvc.lock", b"schema: '3.0'\nstages: {}")


def test_which_paths_are_pointers() -> None:
    assert all(is_pointer(path) for path in ("a.dvc", "x/dvc.lock"))
    assert not any(is_pointer(path) for path in (".dvc", ".dvc/config", ".dvc/tmp/a.dvc"))


def test_names_of_datasets_are_clear() -> None:
    names = dataset_names(["data/train", "data-train", "größe", "tool.bin"], "old-")
    assert names["tool.bin"] == "old-tool.bin"
    assert len(set(names.values())) == 4
    assert all(name.startswith("old-") and name.isascii() for name in names.values())
    with pytest.raises(InvalidInput):
        dataset_names(["a"], "no/slash")
