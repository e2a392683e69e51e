"""Stores that a real MLflow made, and a Treadle to take them in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_stores import STORES, make_database, make_filestore, make_home
from servers import empty_postgres_url, postgres_server, s3, s3_server  # noqa: F401
from treadle.client import Client


@pytest.fixture
def filestore(tmp_path: Path) -> Path:
    """A file store."""
    return make_filestore(tmp_path / "mlruns")


@pytest.fixture
def mlflow_db(tmp_path: Path) -> Path:
    """A database, its artifacts in a folder that it doesn't know of."""
    shutil.copytree(STORES / "artifacts", tmp_path / "artifacts")
    return make_database(tmp_path / "mlflow.db")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project that has nothing but a name."""
    return make_home(tmp_path / "project")


@pytest.fixture
def client(home: Path) -> Iterator[Client]:
    """A client of that project, without a server."""
    with Client.in_process(home) as opened:
        yield opened
