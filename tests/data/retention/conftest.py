from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from branching import commit
from servers import metadata_url, postgres_server, postgres_url  # noqa: F401
from treadle.api.rooms import Rooms


@pytest.fixture
def rooms(tmp_path: Path, metadata_url: str) -> Iterator[Rooms]:  # noqa: F811
    """A project whose dataset ``pets`` has five versions on ``main``, each with a file of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "treadle.toml").write_text(
        f'[project]\nname = "toy"\n[store]\nmetadata = "{metadata_url}"\n'
        '[data.sales]\npath = "lake/sales"\nformat = "delta"\nkey = "id"\n'
    )
    found = Rooms(folder, "test", None)
    found.branches.create_dataset("pets", "anna")
    for number in range(1, 6):
        commit(found.branches, {f"f{number}": f"text {number}", "same": f"version {number}"})
    yield found
    found.close()
