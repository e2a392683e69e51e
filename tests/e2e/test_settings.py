"""Mistakes in ``treadle.toml``, and a budget that is used up: told before anything is done."""

from __future__ import annotations

import pytest

from e2e.user import User, failed, refused

# What is changed into what; what is said, in which line, and what to do.
MISTAKES = {
    "unknown key": (
        'window = "60d"',
        'windwo = "60d"',
        "[train] has no key `windwo`",
        "did you mean 'window'?",
    ),
    "unknown table": (
        "[checks.groups]",
        "[checks.group]",
        "[checks] has no key `group`",
        "did you mean 'groups'?",
    ),
    "wrong kind": (
        "replicas = 1",
        'replicas = "many"',
        "`train.replicas`: expected `int`",
        "leave it out for 1",
    ),
    "out of range": (
        "port = 0",
        "port = 70000",
        "`serve.port`: expected `int` <= 65535",
        "leave it out for 8100",
    ),
    "no duration": ('timeout = "60s"', 'timeout = "60"', "expected a duration", 'leave it out for "1h"'),
    "missing key": ('path = "data/rows.parquet"', "", "[data.rows] needs `path`", "add `path = ...`"),
    "unknown dataset": ('data = "rows"', 'data = "row"', "`train.data` names 'row'", "did you mean 'rows'?"),
    "not TOML": ("[train]", "[train", "not valid TOML", "mend that line"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_by_its_line_and_nothing_is_done(user: User, name: str) -> None:
    old, new, what, fix = MISTAKES[name]
    before = user.state()
    text = (user.folder / "treadle.toml").read_text()
    line = text[: text.index("[data.rows]" if name == "missing key" else old)].count("\n") + 1
    user.edit("treadle.toml", old, new)
    refused(user.run("run"), what, f"{user.folder}/treadle.toml:{line}", fix)
    user.edit("treadle.toml", new or "[data.rows]", old if new else f"[data.rows]\n{old}")
    assert user.state() == before


def test_every_command_that_needs_the_file_tells_the_same(user: User) -> None:
    user.edit("treadle.toml", 'window = "60d"', 'windwo = "60d"')
    said = {user.run(*command).err for command in (("run",), ("up", "--port", "0"), ("history",))}
    assert len(said) == 1
    doctor = user.run("doctor")
    assert doctor.code == 1
    assert "did you mean 'window'?" in doctor.out


def test_a_file_in_another_encoding(user: User) -> None:
    path = user.folder / "treadle.toml"
    before = user.state()
    path.write_bytes(path.read_bytes() + "\n# café\n".encode("latin-1"))
    line = path.read_bytes().count(b"\n")
    refused(user.run("run"), "it is not UTF-8", f"treadle.toml:{line}", "save it as UTF-8")
    path.write_bytes(path.read_bytes().decode("latin-1").encode("utf-16"))
    refused(user.run("run"), "it is not UTF-8", "treadle.toml:1", "save it as UTF-8")
    assert user.state() == before


def test_no_file_and_no_train_table(user: User) -> None:
    before = user.state()
    path = user.folder / "treadle.toml"
    text = path.read_text()
    start, end = text.index("[train]"), text.index("[checks.data]")
    path.write_text(text[:start] + text[end:])
    refused(user.run("run"), "there is no [train] table", "treadle.toml", "say how the model is made")
    path.unlink()
    refused(user.run("run"), "no treadle.toml here or above", str(user.folder), "run `treadle init`")
    assert user.state() == before


def test_a_budget_that_is_used_up_stops_the_cycle_before_it_trains(user: User) -> None:
    with (user.folder / "treadle.toml").open("a") as file:
        file.write('[budget]\nmonth = "0.1s"\n')
    user.edit("train.py", "0.999", "0.998")
    before = user.state()

    plan = user.run("run", "--plan")
    assert plan.code == 0, plan
    assert "the budget is 0.1s" in plan.out
    assert user.state() == before

    done = user.run("run")
    failed(done, "the budget is 0.1s", "[budget] month", "raise")
    assert user.state().keeps(before, "cycles", "events", "evaluations", "recipes")
    assert len(user.json("runs")) == 1
