"""``treadle data lineage``, and what ``treadle data add`` says of where data comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_parts import Call


@pytest.fixture
def pets(call: Call, here: Path) -> Path:
    """Two datasets, the second made of the first."""
    (here / "treadle.toml").write_text('[project]\nname = "toy"\n\n[data.rows]\npath = "rows.csv"\n')
    (here / "raw.csv").write_text("n\n1\n")
    (here / "clean.csv").write_text("n\n2\n")
    assert call("data", "add", "raw.csv", "--name", "raw").code == 0
    assert (
        call("data", "add", "clean.csv", "--name", "clean", "--from", "raw@v1", "--step", "python c.py").code
        == 0
    )
    return here


def test_lineage_is_a_tree_in_both_directions(call: Call, pets: Path) -> None:
    assert call("data", "lineage", "clean").out.splitlines()[:4] == [
        "clean@v1 was made of",
        "  version raw@v1: python c.py",
        "used by",
        "  nothing yet",
    ]
    assert "  version clean@v1: python c.py" in call("data", "lineage", "raw@v1").out
    told = json.loads(call("data", "lineage", "raw", "--json").out)
    assert [(one["kind"], one["id"]) for one in told["used_by"]] == [("version", "clean@v1")]


def test_the_run_that_adds_data_is_its_origin(
    call: Call, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_RUN", "run_1")
    (pets / "clean.csv").write_text("n\n3\n")
    assert call("data", "add", "clean.csv").code == 0
    assert "  run run_1" in call("data", "lineage", "clean").out


def test_an_origin_that_is_not_there_is_refused_and_nothing_is_made(call: Call, pets: Path) -> None:
    (pets / "clean.csv").write_text("n\n4\n")
    found = call("data", "add", "clean.csv", "--from", "raw@v9")
    assert (found.code, "has no version v9" in found.err) == (2, True)
    found = call("data", "add", "rows", "--from", "raw@v1")
    assert (found.code, "takes no --branch, --from or --step" in found.err) == (2, True)
    assert json.loads(call("data", "show", "clean", "--json").out)["number"] == 1
