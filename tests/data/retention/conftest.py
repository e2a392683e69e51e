from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from branching import commit
from servers import metadata_url, postgres_server, postgres_url  # noqa: F401
from treadle.api.rooms import Rooms

TOML = '[project]\nname = "toy"\n[data.sales]\npath = "lake/sales"\nformat = "delta"\nkey = "id"\n'


def fill(rooms: Rooms) -> Rooms:
    """Five versions of ``pets`` on ``main``, each with a file of its own."""
    rooms.branches.create_dataset("pets", "anna")
    for number in range(1, 6):
        commit(rooms.branches, {f"f{number}": f"text {number}", "same": f"version {number}"})
    return rooms


def project(folder: Path, metadata_url: str) -> Iterator[Rooms]:  # noqa: F811
    """A project with ``pets`` whose rows are in a metadata store of its own; closed at the end."""
    folder.mkdir()
    (folder / "treadle.toml").write_text(f'{TOML}[store]\nmetadata = "{metadata_url}"\n')
    found = fill(Rooms(folder, "test", None))
    yield found
    found.close()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retention") / "project"
    folder.mkdir()
    (folder / "treadle.toml").write_text(TOML)
    fill(Rooms(folder, "test", None)).close()
    return folder


@pytest.fixture
def rooms(tmp_path: Path, prepared: Path) -> Iterator[Rooms]:
    """A project whose dataset ``pets`` has five versions on ``main``, each with a file of its own."""
    shutil.copytree(prepared, tmp_path / "project")
    found = Rooms(tmp_path / "project", "test", None)
    yield found
    found.close()


@pytest.fixture
def anywhere(tmp_path: Path, metadata_url: str) -> Iterator[Rooms]:  # noqa: F811
    """The same, on each kind of metadata store."""
    yield from project(tmp_path / "project", metadata_url)
