"""A project whose first model is in production, and its user."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import projects
from conftest import PROJECT
from e2e.user import User
from servers import full_disk, postgres_server, postgres_url, s3, s3_server  # noqa: F401 - fixtures

SETTINGS = PROJECT.replace("replicas = 2", "replicas = 1") + "\n[serve]\nport = 0\n"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, made once; not to be changed."""
    folder = tmp_path_factory.mktemp("made") / "toy"
    folder.mkdir()
    (folder / "treadle.toml").write_text(SETTINGS)
    projects.fill(folder, projects.rows(per_day=60))
    user = User(folder)
    assert user.run("replay", "start", "2026-03-01").code == 0
    done = user.run("run")
    assert "toy/1 is in production" in done.out, done
    return folder


@pytest.fixture
def user(made: Path, tmp_path: Path) -> User:
    """The user of a project with toy/1 in production, on 1 March 2026."""
    shutil.copytree(made, tmp_path / "toy")
    return User(tmp_path / "toy")
