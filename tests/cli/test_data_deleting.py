"""``treadle data delete``, ``prune`` and ``restore``, and ``treadle gc`` after them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_parts import Call

from treadle.data import DatasetVersion, Deletion
from treadle.govern import Collected


@pytest.fixture
def pets(call: Call, here: Path) -> Path:
    """Four versions of ``pets``."""
    (here / "treadle.toml").write_text('[project]\nname = "toy"\n')
    (here / "pets").mkdir()
    for number in range(1, 5):
        (here / "pets" / "one.txt").write_text("1" * number)
        assert call("data", "add", "pets").code == 0
    return here


def test_from_deleting_to_restoring(call: Call, pets: Path) -> None:
    told = call("data", "delete", "pets@v1..v4", "--dry-run")
    assert "3 versions of pets would be deleted, 1 in use, 0 others stay" in told.out
    assert "branch main stands at it and 1 more" in told.out
    assert told.out.splitlines()[-1].startswith("next: commit on main first")
    refused = call("data", "delete", "pets@v4")
    assert refused.code == 2
    assert "it is in use; nothing was deleted: branch main stands at it, the pointer" in refused.err
    done = call("data", "delete", "pets@v1", "pets@v3", "--reason", "too old")
    assert "2 versions of pets deleted, 2 others stay" in done.out
    assert "They can be restored until `treadle gc` frees what they had" in done.out
    assert done.out.splitlines()[-2:] == [
        "next: treadle data restore pets@v3",
        "      treadle gc --data pets --older-than 0",
    ]
    log = call("data", "log", "pets").out.splitlines()
    assert log[0].split()[-1] == "deleted"
    assert [": too old" in line for line in log[1:5]] == [False, True, False, True]
    assert ": too old" in call("data", "log", "pets@main").out
    shown = call("data", "show", "pets@v3").out
    assert "deleted" in shown
    assert "too old" in shown
    gone = call("data", "ls", "pets@v3")
    assert (gone.code, "pets@v3 was deleted by" in gone.err, "treadle data restore pets@v3" in gone.err) == (
        2,
        True,
        True,
    )
    assert call("data", "restore", "pets@v1..v3").out.splitlines()[:2] == [
        "pets@v3 is there again",
        "pets@v1 is there again",
    ]
    assert "nothing to restore" in call("data", "restore", "pets").out
    assert "deleted" not in call("data", "log", "pets").out


def test_from_pruning_to_collecting(call: Call, pets: Path) -> None:
    plan = call("data", "prune", "pets", "--keep-last", "2")
    assert "2 versions of pets would be deleted, 2 others stay" in plan.out
    assert plan.out.splitlines()[-1] == "next: treadle data prune pets --keep-last 2 --yes"
    assert call("data", "prune", "pets", "--keep-for", "30d", "--json").json(Deletion).versions == ()
    assert call("data", "prune", "pets").code == 2
    assert "2 versions of pets deleted" in call("data", "prune", "pets", "--keep-last", "2", "--yes").out
    for path in (pets / ".treadle" / "blobs").rglob("*"):
        os.utime(path, (1, 1))
    told = call("gc", "--data", "pets", "--older-than", "0")
    assert "2 versions of data, 0 rows, 0 files would go." in told.out
    assert "kept were the last 2 of each branch" in told.out
    done = call("gc", "--data", "pets", "--older-than", "0", "--apply", "--json").json(Collected)
    assert (done.versions, done.blobs > 0) == (2, True)
    late = call("data", "restore", "pets@v1")
    assert late.code == 2
    assert "what it had was freed on" in late.err
    assert "; freed" in call("data", "log", "pets").out
    assert "here: 2 versions" in call("data", "verify").out


def test_a_whole_dataset(call: Call, pets: Path) -> None:
    refused = call("data", "delete", "pets")
    assert "the pointer pets.treadle names it" in refused.err
    (pets / "pets.treadle").unlink()
    assert "4 versions of pets deleted, 0 others stay" in call("data", "delete", "pets").out
    assert call("data", "ls", "--json").json(list[DatasetVersion]) == []
    assert "pets@v4 is there again" in call("data", "restore", "pets").out
    assert len(call("data", "ls", "--json").json(list[DatasetVersion])) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pets@v1", "cats@v1"), "versions of several datasets are named: cats, pets"),
        (("pets", "pets@v1"), "'pets' alone is the whole dataset"),
        (("pets@main",), "is no number of a version"),
        (("pets@v9",), "has no version v9"),
        (("petz@v1",), "there is no dataset 'petz'"),
    ],
)
def test_what_is_wrong_is_said(call: Call, pets: Path, arguments: tuple[str, ...], said: str) -> None:
    refused = call("data", "delete", *arguments)
    assert refused.code == 2
    assert said in refused.err
    assert "deleted" not in call("data", "log", "pets").out
