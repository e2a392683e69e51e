"""``treadle data`` over branches, from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_parts import Call

from treadle.data import DataDiff, DatasetVersion, Merged, Ref


@pytest.fixture
def pets(call: Call, here: Path) -> Path:
    (here / "treadle.toml").write_text('[project]\nname = "toy"\n')
    (here / "pets").mkdir()
    (here / "pets" / "one.txt").write_text("1")
    assert call("data", "add", "pets").code == 0
    return here / "pets"


def test_from_a_branch_to_a_merge(call: Call, pets: Path) -> None:
    made = call("data", "branch", "exp/new")
    assert made.out.splitlines()[0] == "pets@exp/new: a branch at v1"
    assert "treadle data merge pets@exp/new" in made.out
    (pets / "two.txt").write_text("2")
    assert "pets@v2 on exp/new" in call("data", "add", "pets", "--branch", "exp/new").out
    assert [ref.name for ref in call("data", "branches", "pets", "--json").json(list[Ref])] == [
        "exp/new",
        "main",
    ]
    assert "exp/new" in call("data", "branches", "pets").out

    assert call("data", "diff", "exp/new").out.splitlines()[:2] == [
        "pets@v1 → pets@v2: 1 added",
        "  + two.txt",
    ]
    assert call("data", "diff", "pets@v2", "v1", "--json").json(DataDiff).deleted == 1
    assert "1 added, 0 modified, 0 deleted" in call("data", "merge", "exp/new", "--plan").out
    assert "pets@v3 on main: pets@v2 merged, 1 added" in call("data", "merge", "pets@exp/new").out
    assert "nothing to merge" in call("data", "merge", "exp/new").out
    assert not call("data", "merge", "exp/new", "--json").json(Merged).changed

    assert "pets@best: a tag at v3" in call("data", "tag", "best").out
    assert "best" in call("data", "tags", "pets").out
    told = call("data", "show", "best").out
    assert "Merge exp/new into main" in told
    assert "version pets@v2" in told
    lines = call("data", "log", "pets@best").out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["pets@v3", "pets@v2", "pets@v1"]
    assert len(call("data", "log", "pets@best", "-n", "1", "--json").json(list[DatasetVersion])) == 1
    assert "pets@v4 on main: Restore pets@v1" in call("data", "revert", "v1", "--restore").out
    assert call("data", "tag", "-d", "best").out == "tag best of pets is removed\n"
    assert call("data", "branch", "-d", "exp/new").code == 0
    assert call("data", "show", "best").code == 2


def test_the_only_dataset_needn_t_be_named(call: Call, here: Path, pets: Path) -> None:
    assert call("data", "log").out == call("data", "log", "pets").out
    assert call("data", "branches").out == call("data", "branches", "pets").out
    assert call("data", "tags").out == call("data", "tags", "pets").out
    (here / "dogs").mkdir()
    (here / "dogs" / "one.txt").write_text("1")
    call("data", "add", "dogs")
    refused = call("data", "log")
    assert refused.code == 2
    assert "there are 2 datasets" in refused.err
    assert "dogs, pets" in refused.err


def test_a_declared_path_has_the_declared_name(call: Call, here: Path) -> None:
    toml = '[project]\nname = "toy"\n\n[data.orders]\npath = "data/orders.csv"\n'
    (here / "treadle.toml").write_text(toml)
    (here / "data").mkdir()
    (here / "data" / "orders.csv").write_text("id\n1\n")
    refused = call("data", "protect", "orders@main")
    assert refused.code == 2
    assert "'orders' has no version yet" in refused.err
    assert call("data", "add", "data/orders.csv").out.startswith("orders@v1: 1 file")
    assert call("data", "add", "orders").out.startswith("orders@v2: 1 row in 1 file")


def test_conflicts_and_protection(call: Call, pets: Path) -> None:
    call("data", "branch", "exp")
    (pets / "one.txt").write_text("theirs")
    call("data", "add", "pets", "--branch", "exp")
    call("data", "checkout", "pets", "--at", "main")
    (pets / "one.txt").write_text("ours")
    assert call("data", "add", "pets").code == 0
    told = call("data", "merge", "exp", "--plan").out
    assert "1 conflict:" in told
    assert ["one.txt", "modified", "modified"] in [line.split() for line in told.splitlines()]
    refused = call("data", "merge", "exp")
    assert refused.code == 2
    assert "one.txt (modified in the target, modified in the source)" in refused.err
    assert "needed" in call("data", "protect", "main", "--approvals", "2").out
    assert "protected" in call("data", "merge", "exp", "--theirs", "one.txt").err
    assert "protected" in call("data", "branches", "pets").out
    assert "pets@main is open" in call("data", "protect", "main", "--off").out
    assert call("data", "merge", "exp", "--theirs", "one.txt").code == 0
    call("data", "checkout", "pets", "--at", "main")
    assert (pets / "one.txt").read_text() == "theirs"


def test_a_version_is_checked_out_where_its_dataset_lies(call: Call, pets: Path, here: Path) -> None:
    (pets / "one.txt").write_text("later")
    call("data", "add", "pets", "-m", "again")
    assert "pets: pets@v1: 1 written" in call("data", "checkout", "pets@v1").out
    assert (pets / "one.txt").read_text() != "later"
    told = call("data", "log", "pets").out
    assert "again" in told.splitlines()[1]
    assert "rows" not in told
    assert told.endswith("next: treadle data diff pets@v1 pets@v2\n")
    typo = call("data", "add", "petz").err
    assert "there is no file, folder or declared dataset 'petz'" in typo
    assert "did you mean 'pets'?" in typo
    lost = call("data", "checkout", "cars@v1").err
    assert "dataset 'cars' has no place in this project" in lost
    assert "treadle data checkout cars@v1 --to PATH" in lost
    assert "there: pets@v1: 1 written" in call("data", "checkout", "pets", "--at", "v1", "--to", "there").out
    assert "--to needs one dataset" in call("data", "checkout", "--to", "there").err
    (here / "there.treadle").unlink()
    (here / "odd@v1").write_text("1")
    assert "no version was made of it yet" in call("data", "checkout", "odd@v1").err


def test_a_dataset_must_be_named_where_there_are_two(call: Call, pets: Path, here: Path) -> None:
    (here / "cars").write_text("1")
    call("data", "add", "./cars")
    found = call("data", "branch", "exp")
    assert found.code == 2
    assert "write it with its dataset: cars@exp" in found.err
    assert "is a dataset, not a branch" in call("data", "branch", "cars").err
