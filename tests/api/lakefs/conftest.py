from __future__ import annotations

import secrets
from collections.abc import Iterator

import lakefs
import pytest
from lakefs.client import Client

from mlflow_parts import TrackingServer, serve
from treadle.data.branches.commits import NewVersion
from treadle.data.branches.service import Branches
from treadle.data.storage.writing import PackWriter
from treadle.data.tree.pages import as_columns
from treadle.data.tree.trees import build
from treadle.data.tree.types import Entry
from treadle.kernel.workspace import Workspace

MANY = 10_000


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """A server that has a dataset ``many`` of 10,000 objects; tests make datasets of their own beside it."""
    folder = tmp_path_factory.mktemp("lakefs")
    (folder / "treadle.toml").write_text('[project]\nname = "tracked"\n')
    workspace = Workspace.open(folder)
    with PackWriter(workspace.blobs) as writer:
        paths = [f"d{n // 1000}/{n:05}" for n in range(MANY)]
        listed = as_columns([Entry(path, len(path), writer.put(path.encode())) for path in paths])
        tree = build([listed], writer)
        written = writer.finish()
    Branches(workspace).create_dataset("many", "ada")
    Branches(workspace).commit_tree(
        NewVersion(dataset="many", branch="main", tree=tree, written=written, expected=None, actor="ada")
    )
    workspace.close()
    yield from serve(folder)


@pytest.fixture
def client(server: TrackingServer) -> Client:
    return Client(host=server.url, username="ada", password="any")


@pytest.fixture
def repo(client: Client) -> lakefs.Repository:
    """A repository that is new."""
    return lakefs.Repository(f"r-{secrets.token_hex(6)}", client=client).create("local://anywhere")
