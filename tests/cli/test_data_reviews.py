"""``treadle data review`` from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_parts import Call

from treadle.data import Merged, Review, ReviewDetails, ReviewEvent


@pytest.fixture
def pets(call: Call, here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table with a protected ``main``, and a branch ``exp`` with a row more; by anna."""
    (here / "treadle.toml").write_text(
        '[project]\nname = "toy"\n[data.pets]\npath = "pets.csv"\nkey = "id"\n'
    )
    table = here / "pets.csv"
    table.write_text("id,legs\n1,4\n2,4\n")
    monkeypatch.setenv("TREADLE_ACTOR", "anna")
    assert call("data", "add", "pets").code == 0
    call("data", "branch", "exp")
    table.write_text("id,legs\n1,4\n2,4\n3,2\n")
    assert call("data", "add", "./pets.csv", "--name", "pets", "--branch", "exp").code == 0
    told = call("data", "protect", "main", "--check", "schema", "--check", "volume").out.splitlines()
    assert told == [
        "pets@main is protected: 1 approval, schema, volume needed",
        "next: treadle data review open pets@BRANCH --into main --title TEXT",
    ]
    return table


def test_from_opening_to_merging(call: Call, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "treadle data review open pets@exp" in call("data", "merge", "exp").err
    assert "no open reviews" in call("data", "review", "list", "pets").out
    told = call("data", "review", "open", "exp", "-t", "A bird", "-m", "with two legs").out
    assert told.splitlines()[0] == "pets#1: exp into main, A bird"
    assert "pets#1" in call("data", "review", "list", "pets").out
    assert (
        call("data", "review", "list", "pets", "--state", "all", "--json").json(list[Review])[0].number == 1
    )

    assert "can't approve it" in call("data", "review", "approve", "pets#1").err
    monkeypatch.setenv("TREADLE_ACTOR", "ben")
    assert (
        "ben commented on pets.csv: two?"
        in call("data", "review", "comment", "1", "-m", "two?", "--path", "pets.csv").out
    )
    assert "changes are asked for" in call("data", "review", "request-changes", "1", "-m", "why?").out
    assert "withdrawn" in call("data", "review", "withdraw", "1").out
    head = call("data", "review", "show", "1", "--json").json(ReviewDetails).source_commit
    assert call("data", "review", "approve", "1", "--commit", "0" * 12).code == 2
    assert (
        f"approved at commit {head[:12]}" in call("data", "review", "approve", "1", "--commit", head[:9]).out
    )

    shown = call("data", "review", "show", "pets#1", "--rows").out
    for line in ("with two legs", "exp merged into main: 1 modified", "rows, by id: 1 added", "hasn't run"):
        assert line in shown
    assert "next: treadle data review check pets#1" in shown
    refused = call("data", "review", "merge", "1")
    assert refused.code == 2
    assert "check schema hasn't run; check volume hasn't run" in refused.err
    checked = call("data", "review", "check", "1").out
    assert "volume: pass" in checked
    assert "There were 2 rows and would be 3, 50 % more" in checked
    event = call("data", "review", "check", "1", "--check", "drift", "--json").json(ReviewEvent)
    assert [gate.name for gate in event.body.gates] == ["drift"]
    assert "it can be merged" in call("data", "review", "show", "1").out

    merged = call("data", "review", "merge", "1").out
    assert merged.splitlines()[0] == "pets@v3 on main: pets#1 merged, 0 added, 1 modified, 0 deleted"
    assert "merged as pets@v3" in call("data", "review", "show", "1").out
    again = call("data", "review", "merge", "1")
    assert (again.code, "is merged as pets@v3" in again.err) == (2, True)


def test_what_fails_is_told_where_the_review_is_shown(call: Call, pets: Path) -> None:
    call("data", "protect", "main", "--check", "volume", "--approvals", "0")
    pets.write_text("id,legs\n3,2\n")
    call("data", "add", "./pets.csv", "--name", "pets", "--branch", "exp")
    call("data", "review", "open", "exp", "-t", "Fewer")
    call("data", "review", "check", "1", "--check", "volume", "--check", "balance")
    shown = call("data", "review", "show", "1").out
    sentence = "There were 2 rows and would be 1, 50 % less; up to 10 % may go."
    assert "check volume (required): fail\n      " + sentence in shown
    assert "check balance: inconclusive\n      pets declares no label ([data.pets] label)." in shown
    assert f"check volume failed: {sentence}" in call("data", "review", "merge", "1").err


def test_closing_opening_again_and_json(call: Call, pets: Path) -> None:
    call("data", "protect", "main", "--off")
    call("data", "review", "open", "exp", "-t", "A bird")
    assert "pets#1 is closed" in call("data", "review", "close", "1", "-m", "later").out
    assert "treadle data review reopen pets#1" in call("data", "review", "merge", "1").err
    assert "pets#1 is open" in call("data", "review", "reopen", "1").out
    assert call("data", "review", "merge", "1", "--json").json(Merged).version.number == 3


def test_what_cannot_be_meant(call: Call, pets: Path) -> None:
    cases = [
        ("show one", "'one' names no review"),
        ("show pets#", "names no review"),
        ("show pets#2", "there is no review 2 of 'pets'"),
        ("show pest#1", "did you mean 'pets'?"),
        ("list pest", "did you mean 'pets'?"),
        ("open exp -t ", "a review needs a title"),
        ("open nope -t x", "there is no branch 'nope'"),
        ("comment 2 x", "there is no review 2"),
        ("comment 1", "there is nothing to say"),
        ("comment 1 x -m y", "a comment is said once"),
    ]
    for command, said in cases:
        found = call("data", "review", *command.split(" "))
        assert (found.code, found.out) == (2, "")
        assert said in found.err


def test_a_dataset_must_be_named_where_there_are_two(call: Call, pets: Path, here: Path) -> None:
    (here / "cars").write_text("1")
    call("data", "add", "./cars")
    assert "write it with its dataset: cars#1" in call("data", "review", "show", "1").err
