"""A reference of a lakeFS server becomes a version from the command line."""

from __future__ import annotations

from pathlib import Path

import lakefs
import pytest
from cli_parts import Call
from lakefs.client import Client

from mlflow_parts import serve
from mlflow_stores import make_home


def test_a_reference_is_taken_in_once(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, home = tmp_path / "there", make_home(tmp_path / "project")
    there.mkdir()
    monkeypatch.setenv("LAKECTL_CREDENTIALS_ACCESS_KEY_ID", "ada")
    for server in serve(there):
        repo = lakefs.Repository("pets", client=Client(host=server.url, username="ada", password="x"))
        main = repo.create("local://x").branch("main")
        main.object("cats/1").upload(b"one")
        main.object("cats/2").upload(b"two")
        main.commit("cats")
        asked = ("--project", str(home), "data", "import", "lakefs", server.url, "pets@main/cats", "cats")
        first = call(*asked)
        assert first.code == 0, first.err
        assert f"lakefs://pets/{main.head.id}/cats/ is cats@v1: 2 files, 6 B" in first.out
        assert "was there already as cats@v1" in call(*asked).out
        wrong = call(*asked[:-2], "pets@nowhere", "cats")
        assert wrong.code == 2
        assert "nowhere" in wrong.err
