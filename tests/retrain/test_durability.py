"""The proof that a cycle survives: its process is killed at every point, and the end is the same.

*The same* is meant to the letter: every row of every table equals that of a cycle that nobody
disturbed, but for times and random identifiers. So nothing was done twice, nothing was lost,
and nothing is half there.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pyarrow as pa
import pytest

from projects import fill, rows
from retrain.account import account, check_whole, differences, trained
from retrain.wheel import FIRST, SCRIPT, SECOND, Drivers, Kill, make, opened, set_time, turned, wait_for
from retrain.world import World
from servers import PostgresServer
from treadle.deploy import Deployments
from treadle.kernel.lock import holder
from treadle.registry import Registry
from treadle.retrain import Cycles
from treadle.retrain.rules import STAGES
from treadle.retrain.worker import LOCK

KILLED = -signal.SIGKILL

# One point in the middle of each stage, where something has been done and something hasn't.
INSIDE = {
    "data": [
        Kill("after", "treadle.data.branches.service.Branches.create_ref"),
        Kill("after", "treadle.data.service.Datasets.snapshot"),
    ],
    "check": [Kill("before", "treadle.evaluate.store.keep")],
    "train": [
        Kill("after", "treadle.train.local.LocalExecutor.start"),
        Kill("after", "treadle.train.local.LocalExecutor.start", 2),
        Kill("before", "treadle.retrain.make._meter", 2),
    ],
    "evaluate": [Kill("after", "treadle.retrain.gate._log"), Kill("before", "treadle.retrain.gate._profile")],
    "register": [Kill("after", "treadle.registry.store.add_version")],
    "approve": [Kill("after", "treadle.retrain.rules.conclusion")],
    "deploy": [
        Kill("after", "treadle.deploy.service.Deployments.deploy"),
        Kill("after", "treadle.registry.store.set_status"),
        Kill("after", "treadle.data.branches.service.Branches.merge"),
    ],
}


# What changes anything that lasts, and how often a cycle does it at least.
WRITES = {
    "sqlalchemy.engine.default.DefaultDialect.do_commit": 40,
    "treadle.kernel.blobs.ObjectBlobStore.put": 3,
    "treadle.kernel.blobs.ObjectBlobStore.put_file": 6,
    "pathlib.Path.replace": 4,
}


# In and around the stage that changes what serves, and where jobs are handed out, `make test` kills a cycle;
# in the others, and around them, where the same code runs, `make soak`.
AROUND = ("deploy",)
WITHIN = ("deploy",)
ON_POSTGRES = "treadle.registry.store.set_status"  # `make test` kills there on Postgres


def _points() -> Iterator[Any]:
    yield Kill("before", "treadle.retrain.worker.Worker.submit")  # written down, and nobody has begun it
    for number, stage in enumerate(STAGES["deploy"], 1):
        for kill in INSIDE[stage]:
            yield kill if stage in WITHIN and kill.name != ON_POSTGRES else _soaked(kill)
        around = [
            Kill("before", "treadle.retrain.worker.perform", number),  # the stage before is behind it
            Kill("after", f"treadle.retrain.stages._STAGES.{stage}"),  # its effect is there, untold
            Kill("after", "treadle.retrain.stages._save", 2 * number),  # done, and DBOS doesn't know
        ]
        # Of those the one whose effect is there and untold can go wrong in more ways than the others.
        yield from (kill if stage in AROUND and kill is around[1] else _soaked(kill) for kill in around)


def _soaked(kill: Kill) -> Any:
    return pytest.param(kill, marks=pytest.mark.soak)


def _start(folder: Path, drivers: Drivers, grown: pa.Table | None = None, **project: Any) -> Path:
    """A project with a version in production, at the moment of its second cycle, perhaps with more data."""
    root = make(folder / "start", **project)
    with opened(root) as workspace:
        set_time(workspace, FIRST)
    assert drivers(root, "run") == 0, (root / "driver.txt").read_text()
    with opened(root) as workspace:
        assert Registry(workspace).get("toy@production").number == 1
        set_time(workspace, SECOND)
    if grown is not None:
        fill(root, grown)
        (root / "train.py").write_text(SCRIPT)
    return root


@pytest.fixture(scope="module")
def promoting(tmp_path_factory: pytest.TempPathFactory, drivers: Drivers) -> World:
    """A cycle that replaces what is in production, with data that has grown: on a branch, then merged."""
    table = rows(120, 60)
    folder = tmp_path_factory.mktemp("promoting")
    world = World(_start(folder, drivers, grown=table, table=table.slice(0, 6600)), drivers)
    assert (world.cycle.state, world.cycle.version, world.code) == ("promoted", 2, 0)
    assert [json.loads(ref)["number"] for ref in world.end["data_refs"]] == [2]
    assert sorted(run[-2:] for run in world.trained) == ["_0", "_0", "_1", "_1"]
    return world


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory, drivers: Drivers) -> World:
    """A cycle that learns from a stretch in which everything was the other way round."""
    table = turned(52, 76, per_day=60)
    world = World(_start(tmp_path_factory.mktemp("refusing"), drivers, table=table), drivers)
    assert (world.cycle.state, world.cycle.version, world.code) == ("refused", 2, 1)
    return world


@pytest.fixture(scope="module")
def on_postgres(
    tmp_path_factory: pytest.TempPathFactory, drivers: Drivers, postgres_server: PostgresServer
) -> World:
    """A cycle that replaces what is in production, all its metadata on Postgres."""
    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    folder = tmp_path_factory.mktemp("postgres")
    root = _start(folder, drivers, metadata=postgres_server.url(name))
    world = World(root, drivers, postgres_server, name)
    assert (world.cycle.state, world.cycle.version, world.code) == ("promoted", 2, 0)
    return world


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory, drivers: Drivers) -> World:
    """The first cycle of all: the workflow engine has no tables yet."""
    root = make(tmp_path_factory.mktemp("beginning") / "start")
    with opened(root) as workspace:
        set_time(workspace, SECOND)
    return World(root, drivers)


@pytest.mark.parametrize("kill", list(_points()), ids=lambda kill: kill.label)
def test_killed_at_a_step_and_started_again(
    kill: Kill, promoting: World, drivers: Drivers, tmp_path: Path
) -> None:
    with promoting.copied(tmp_path / "toy") as root:
        assert drivers(root, "run", kill=kill) == KILLED
        promoting.go_on(root)


@pytest.mark.postgres
@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(Kill("after", "treadle.retrain.stages._STAGES.evaluate"), marks=pytest.mark.soak),
        Kill("after", "treadle.registry.store.set_status"),
        pytest.param(Kill("after", "treadle.retrain.stages._save", 14), marks=pytest.mark.soak),
    ],
    ids=lambda kill: kill.label,
)
def test_killed_on_postgres(kill: Kill, on_postgres: World, drivers: Drivers, tmp_path: Path) -> None:
    with on_postgres.copied(tmp_path / "toy") as root:
        assert drivers(root, "run", kill=kill) == KILLED
        on_postgres.go_on(root)


@pytest.mark.parametrize(
    "kill",
    [
        Kill("after", "treadle.registry.service.Registry.refuse"),
        pytest.param(Kill("after", "treadle.retrain.stages._save", 12), marks=pytest.mark.soak),
    ],
    ids=lambda kill: kill.label,
)
def test_a_refusal_survives_as_well(kill: Kill, refusing: World, drivers: Drivers, tmp_path: Path) -> None:
    with refusing.copied(tmp_path / "toy") as root:
        assert drivers(root, "run", kill=kill) == KILLED
        refusing.go_on(root)


@pytest.mark.soak
def test_killed_again_and_again(promoting: World, drivers: Drivers, tmp_path: Path) -> None:
    """Twice in the same step, before and after its effect, and once or twice more in others."""
    with promoting.copied(tmp_path / "toy") as root:
        for kill in (
            Kill("after", "treadle.data.branches.service.Branches.create_ref"),
            Kill("after", "treadle.data.service.Datasets.snapshot"),
            Kill("before", "treadle.retrain.gate._profile"),
            Kill("after", "treadle.retrain.stages._STAGES.evaluate"),
            Kill("after", "treadle.registry.store.add_version"),
        ):
            assert drivers(root, "run", kill=kill) == KILLED
        promoting.go_on(root)


def _jobs(root: Path) -> list[psutil.Process]:
    """The processes that train for a project right now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TREADLE_JOB", "").startswith(str(root)):
                found.append(process)
    return found


def test_running_jobs_are_taken_over(promoting: World, drivers: Drivers, tmp_path: Path) -> None:
    """Its driver is killed; the jobs run on, and are neither begun again nor lost by who comes next."""
    with promoting.copied(tmp_path / "toy") as root:
        hold = root / "hold"
        hold.touch()
        assert (
            drivers(root, "run", kill=Kill("after", "treadle.train.local.LocalExecutor.start", 2)) == KILLED
        )
        wait_for(lambda: len(trained(root)) == 4)
        before = {process.pid for process in _jobs(root)}
        assert len(before) == 2
        _, ended = drivers.start(root, "run", kill=Kill("after", "treadle.train.service.Trainer._poll", 2))
        assert ended() == KILLED  # it, too, while it watches
        _, ended = drivers.start(root, "run")
        wait_for(lambda: holder(root / LOCK) is not None)
        assert {process.pid for process in _jobs(root)} == before
        hold.unlink()
        assert ended() == 0
        promoting.check(root)


def test_jobs_that_end_while_nobody_drives_are_not_done_again(
    promoting: World, drivers: Drivers, tmp_path: Path
) -> None:
    with promoting.copied(tmp_path / "toy") as root:
        hold = root / "hold"
        hold.touch()
        assert (
            drivers(root, "run", kill=Kill("after", "treadle.train.local.LocalExecutor.start", 2)) == KILLED
        )
        wait_for(lambda: len(trained(root)) == 4)
        hold.unlink()
        wait_for(lambda: not _jobs(root))
        promoting.go_on(root)


def test_killed_under_treadle_up_and_served_in_the_end(
    promoting: World, drivers: Drivers, tmp_path: Path
) -> None:
    """With a real inference server: it dies with its driver, and serves the new version afterwards."""
    with promoting.copied(tmp_path / "toy") as root:
        assert drivers(root, "run", kill=Kill("before", "treadle.retrain.worker.perform", 2)) == KILLED
        deployed = Kill("after", "treadle.deploy.service.Deployments.deploy")
        assert drivers(root, "up", "--port", "0", kill=deployed) == KILLED
        pid, ended = drivers.start(root, "up", "--port", "0")
        try:
            with opened(root) as workspace:
                wait_for(lambda: Cycles(workspace).list()[-1].state != "running")
                wait_for(lambda: [r.revision for r in Deployments(workspace).status("toy").replicas] == [2])
                status = Deployments(workspace).status("toy")
                assert status.serving is not None
                assert status.serving.version == 2
                assert [r.version for r in Cycles(workspace).reigns("toy")] == [1, 2]
                check_whole(workspace)
        finally:
            os.kill(pid, signal.SIGTERM)
            assert ended() == 0
        with opened(root) as workspace:
            found = account(workspace)
        served = ("replicas", "events", "revisions", "cycles")  # here, somebody serves and says so
        assert not differences(found, {k: v for k, v in promoting.end.items() if k not in served})


STORM = (
    "sqlalchemy.engine.default.DefaultDialect.do_commit",
    "treadle.kernel.blobs.ObjectBlobStore.put",
    "treadle.kernel.blobs.ObjectBlobStore.put_file",
    "pathlib.Path.replace",
)


def _sweep(world: World, drivers: Drivers, folder: Path, when: str, name: str) -> int:
    """Kills a cycle at the first call, the second, and so on, until one is not killed; returns how many."""
    number, code = 0, KILLED
    while code == KILLED:
        number += 1
        with world.copied(folder / str(number)) as root:
            code = drivers(root, "run", kill=Kill(when, name, number))
            world.go_on(root)
    assert code == world.code
    return number - 1


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("name", "least"), WRITES.items())
@pytest.mark.parametrize("world", ["promoting", pytest.param("on_postgres", marks=pytest.mark.postgres)])
def test_killed_at_every_write(
    world: str,
    name: str,
    least: int,
    when: str,
    drivers: Drivers,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Every commit (also of the workflow engine's own tables), every blob, every file put in its place."""
    assert _sweep(request.getfixturevalue(world), drivers, tmp_path, when, name) >= least


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("world", ["refusing", "beginning"])
def test_killed_at_every_commit(
    world: str, drivers: Drivers, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Of a cycle that ends with a refusal, and of one in a new workspace."""
    commit = "sqlalchemy.engine.default.DefaultDialect.do_commit"
    assert _sweep(request.getfixturevalue(world), drivers, tmp_path, "after", commit) >= WRITES[commit]
