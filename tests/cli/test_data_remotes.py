"""``treadle data push``, ``fetch``, ``pull`` and ``verify``, from end to end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_parts import Call

from treadle.data import FetchedVersion, PushedVersions, Verified

TOML = '[project]\nname = "toy"\n\n[remotes.origin]\nurl = "../remote"\n'


@pytest.fixture
def pets(call: Call, here: Path) -> Path:
    (here / "treadle.toml").write_text(TOML)
    (here / "pets").mkdir()
    (here / "pets" / "one.txt").write_text("1")
    (here / "pets" / "model.bin").write_bytes(bytes(range(256)) * 8192)
    assert call("data", "add", "pets").code == 0
    return here / "pets"


def forget(here: Path) -> None:
    """As a fresh clone: the pointer is there, data and store are not."""
    shutil.rmtree(here / "pets")
    shutil.rmtree(here / ".treadle")


def test_pushed_and_pulled(call: Call, here: Path, pets: Path) -> None:
    pushed = call("data", "push")
    assert pushed.out.startswith("pets@v1 is at origin now (4 blobs, 2.0 MiB); pets@main told")
    assert "has everything of pets@main already" in call("data", "push", "pets").out
    assert call("data", "push", "--json").json(PushedVersions).there == 1
    forget(here)
    assert "treadle data pull pets" in call("data", "status").out
    pulled = call("data", "pull", "--limit", "1GB/s")
    assert pulled.code == 0
    assert "pets: pets@v1: 2 written (2.0 MiB)" in pulled.out
    assert (pets / "one.txt").read_text() == "1"
    assert "nothing to write" in call("data", "pull", "pets").out


def test_fetched_by_name_and_by_path(call: Call, here: Path, pets: Path) -> None:
    call("data", "push")
    forget(here)
    found = call("data", "fetch", "pets@main", "--no-contents")
    assert "pets@v1: 1 version new" in found.out
    assert "main stands there now" in found.out
    [one] = call("data", "fetch", "pets/model.bin", "--json").json(list[FetchedVersion])
    assert (one.ref, one.bytes) == ("pets@v1", 2 << 20)
    assert "known already" in call("data", "fetch", "--depth", "1").out
    assert not pets.exists()


def test_a_note_is_shown(call: Call, here: Path, pets: Path) -> None:
    call("data", "push")
    forget(here)
    (here / "pets.treadle").unlink()
    pets.mkdir()
    (pets / "other.txt").write_text("2")
    call("data", "add", "pets")
    told = call("data", "fetch", "pets@main")
    assert "pets@v2, pets@v1 at the remote: 1 version new" in told.out
    assert "treadle data merge pets@v2 --into main" in told.out


def test_verified_and_mended(call: Call, here: Path, pets: Path) -> None:
    call("data", "push")
    assert "here: 1 version, 2 files" in call("data", "verify").out
    assert "remote origin: 1 version, 2 files" in call("data", "verify", "--remote").out
    (blob,) = (path for path in (here / "../remote/b3").rglob("*") if path.stat().st_size == 2 << 20)
    blob.write_bytes(b"rotten")
    found = call("data", "verify", "--remote")
    assert found.code == 1
    assert "1 damaged" in found.out
    assert "pets@v1 model.bin: what is kept is something else" in found.out
    assert "next: treadle data verify --remote --repair" in found.out
    mended = call("data", "verify", "pets", "--remote", "--repair")
    assert mended.code == 0
    assert "pets@v1 model.bin: mended" in mended.out
    assert call("data", "verify", "--remote", "--json").json(Verified).damaged == 0


def test_what_cannot_be_mended_is_said(call: Call, here: Path, pets: Path) -> None:
    (blob,) = (path for path in (here / ".treadle/blobs/b3").rglob("*") if path.stat().st_size == 2 << 20)
    blob.unlink()
    found = call("data", "verify", "--repair")
    assert found.code == 1
    assert "no whole copy of the rest was found" in found.out


def test_mistakes(call: Call, here: Path, pets: Path) -> None:
    for words, what in (
        (("push", "--limit", "fast"), "'fast' is not a rate"),
        (("push", "--remote", "orgin"), "there is no remote 'orgin'"),
        (("push", "pets@nothing"), "'pets' has no version 'nothing'"),
        (("fetch", "pets"), "remote 'origin' isn't there"),
    ):
        told = call("data", *words)
        assert told.code != 0
        assert what in told.out + told.err
