"""A repository that a real DVC made, once, and copies of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dvc_repositories import make_repository


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with its remote beside it; not to be changed."""
    return make_repository(tmp_path_factory.mktemp("dvc") / "repo").parent


@pytest.fixture
def repo(made: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    shutil.copytree(made, tmp_path / "dvc", symlinks=True)
    return tmp_path / "dvc" / "repo"
