from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datafiles import rows
from servers import (  # noqa: F401
    azure,
    azure_server,
    full_disk,
    metadata_url,
    postgres_server,
    postgres_url,
    s3,
    s3_lake,
    s3_server,
)
from treadle.data import Datasets
from treadle.kernel.clock import ManualClock
from treadle.kernel.workspace import Workspace


@pytest.fixture
def source(project: Path) -> Path:
    """The dataset's file, with a thousand rows."""
    return rows(project / "data" / "rows.parquet")


@pytest.fixture
def datasets(workspace: Workspace, source: Path) -> Datasets:
    return Datasets(workspace)


@pytest.fixture
def reopen(project: Path, clock: ManualClock) -> Iterator[Callable[..., Workspace]]:
    """Opens the project's workspace after texts in its ``treadle.toml`` were replaced or added."""
    opened: list[Workspace] = []

    def open_again(*replace: tuple[str, str], add: str = "") -> Workspace:
        toml = project / "treadle.toml"
        text = toml.read_text()
        for old, new in replace:
            assert old in text
            text = text.replace(old, new)
        toml.write_text(text + add)
        opened.append(Workspace.open(project, clock=clock))
        return opened[-1]

    yield open_again
    for workspace in opened:
        workspace.close()
