"""``treadle models card``, through the real application."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cli_parts import Call

from registry.conftest import MakeVersion, make_model, make_version  # noqa: F401 - fixtures
from treadle.kernel.workspace import Workspace
from treadle.registry import CardText, Registry


@pytest.fixture
def registered(
    workspace: Workspace,
    project: Path,
    make_version: MakeVersion,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A project with the version toy/1."""
    Registry(workspace).register(make_version())
    monkeypatch.chdir(project)
    monkeypatch.setenv("TREADLE_ACTOR", "ada")
    return project


def test_a_card_is_made_in_both_formats(registered: Path, call: Call) -> None:
    done = call("models", "card", "1", "-o", "card.html")
    assert done.out == "wrote card.html\nnext: treadle models card toy/1 --edit\n"
    assert (registered / "card.html").read_text().startswith("<!doctype html>")
    assert call("models", "card", "toy/1").out.startswith("# toy/1\n")
    assert call("models", "card", "toy/1", "--format", "html").out.startswith("<!doctype html>")


def test_parts_are_written_from_a_file_and_in_an_editor(
    registered: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (registered / "CARD.md").write_text("# Toy\n\n## Limits\n\nSnow.\n\n## Owners\n\nOps\n")
    done = call("models", "card", "toy", "--from", "CARD.md")
    assert done.code == 0
    assert done.out.splitlines()[1].split()[:3] == ["limits", "1", "ada"]
    (registered / "editor.sh").write_text('#!/bin/sh\nsed -i "s/Snow/Ice/" "$1"\n')
    (registered / "editor.sh").chmod(0o755)
    monkeypatch.setenv("VISUAL", str(registered / "editor.sh"))
    found = msgspec.json.decode(call("models", "card", "toy", "--edit", "--json").out, type=list[CardText])
    assert [(one.section, one.revision, one.text) for one in found] == [
        ("limits", 2, "Ice."),
        ("owners", 1, "Ops"),
    ]
    monkeypatch.setenv("VISUAL", "true")
    assert call("models", "card", "toy", "--edit").out.startswith("nothing was changed\n")


def test_a_wrong_section_is_told(registered: Path, call: Call) -> None:
    (registered / "CARD.md").write_text("## Limitt\n\nSnow.\n")
    done = call("models", "card", "toy", "--from", "CARD.md")
    assert done.code == 2
    assert "a card has no section 'Limitt'" in done.err
    assert "did you mean 'Limits'?" in done.err
