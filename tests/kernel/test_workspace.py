import subprocess
from datetime import UTC, datetime

import pytest

from treadle.kernel.errors import ConfigError, StorageError
from treadle.kernel.workspace import Workspace, replays


def test_a_workspace_brings_everything_that_a_service_needs(workspace, clock):
    assert workspace.config.project.name == "toy"
    assert workspace.clock.now() == clock.at
    assert workspace.ids.new("run") == "run_1"
    assert workspace.blobs.get(workspace.blobs.put(b"x")) == b"x"
    path = workspace.state / "a.parquet"
    workspace.engine.write_parquet(path, "SELECT range AS i FROM range(10)")
    assert workspace.engine.rows("SELECT sum(i) FROM t", tables={"t": path}) == [(45,)]
    assert workspace.state == workspace.root / ".treadle"


def test_local_state_stays_out_of_git_by_itself(project):
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    Workspace.open(project).close()
    told = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=project, check=True, capture_output=True, text=True
    )
    assert told.stdout == "?? treadle.toml\n"
    (project / ".treadle" / ".gitignore").write_text("cache\n")  # a team that keeps some of it
    Workspace.open(project).close()
    assert (project / ".treadle" / ".gitignore").read_text() == "cache\n"


def test_its_time_is_the_machines_unless_the_past_is_replayed(project):
    workspace = Workspace.open(project)
    before = datetime.now(UTC)
    assert before <= workspace.clock.now() <= datetime.now(UTC)
    past = datetime(2013, 4, 1, tzinfo=UTC)
    with workspace.database.write() as connection:
        connection.execute(replays.insert().values(id=1, at=past, since=past))
    assert workspace.clock.now() == past
    other = Workspace.open(project)
    assert other.clock.now() == past
    with workspace.database.write() as connection:
        connection.execute(replays.delete())
    assert other.clock.now() >= before
    workspace.close()
    other.close()


def test_without_a_configuration_nothing_is_made(tmp_path):
    with pytest.raises(ConfigError):
        Workspace.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_blob_store_that_cannot_be_opened(project):
    toml = project / "treadle.toml"
    toml.write_text(toml.read_text() + '\n[store]\nblobs = "nope://x"\n')
    with pytest.raises(StorageError, match="can't be opened"):
        Workspace.open(project)
