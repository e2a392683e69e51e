"""A really full disk under each store: told, nothing half-written, and with room all goes on."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import projects
from e2e.test_requests import CARRIER, HOUR, sent, tensor
from e2e.user import User, ask, failed, refused, wait_until
from servers import S3, fill
from treadle.data import AddPath, Push, Remotes, WorkingTree
from treadle.kernel.workspace import Workspace

ORIGIN = ("artifact_files", "run_inputs", "run_provenance", "run_writers")
BEGUN = ("cycles", "events", "evaluations", "recipes", "runs", "run_params", "run_tags", *ORIGIN)
COMMANDS = (("run",), ("data", "add", "rows"), ("history",), ("up", "--port", "0"))


def moved(user: User, name: str, disk: Path) -> Path:
    """Puts a part of the workspace onto the small disk, as a mounted folder would be."""
    place = user.folder / ".treadle" / name
    target = disk / name
    if place.exists():
        shutil.move(place, target)
    else:
        target.mkdir()
    place.symlink_to(target)
    return target


def more(user: User) -> None:
    """Other rows than before."""
    pq.write_table(projects.rows(per_day=70, seed=1), user.folder / "data" / "rows.parquet")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_project_on_a_full_disk(user: User, full_disk: Path, command: tuple[str, ...]) -> None:
    shutil.copytree(user.folder, full_disk / "toy")
    there = User(full_disk / "toy")
    filler = fill(full_disk)
    refused(there.run(*command), "the disk is full", ".treadle/treadle.db", "free some space")
    filler.unlink()
    assert there.state() == user.state()
    assert there.litter() == []
    assert there.run("history").code == 0


def test_adding_data_when_the_blob_store_is_full(user: User, full_disk: Path) -> None:
    moved(user, "blobs", full_disk)
    more(user)
    filler = fill(full_disk, leave=100_000)
    before = user.state()
    done = user.run("data", "add", "rows")
    refused(done, "no space is left in the blob store", ".treadle/blobs", "free some space")
    assert user.state() == before
    failed(user.run("run"), "no space is left in the blob store", ".treadle/blobs", "free some space")
    assert user.state().keeps(before, "cycles", "events")
    filler.unlink()
    assert user.run("data", "add", "rows").out.startswith("rows@v2:")


def test_a_training_that_fills_the_disk(user: User, full_disk: Path) -> None:
    moved(user, "jobs", full_disk)
    fill(full_disk, leave=300_000)
    user.edit(
        "train.py", "    run.log_model", "    open('checkpoint', 'wb').write(bytes(10**6))\n    run.log_model"
    )
    before = user.state()
    failed(user.run("run"), "no space is left on the disk", ".treadle/jobs", "free some space")
    assert user.state().keeps(before, *BEGUN, "run_metrics", "run_chunks", "usages")
    assert {run["status"] for run in user.json("runs")[:-1]} == {"failed"}


@pytest.mark.soak
def test_a_training_that_can_not_even_begin_on_a_full_disk(user: User, full_disk: Path) -> None:
    moved(user, "jobs", full_disk)
    filler = fill(full_disk)
    user.edit("train.py", "0.999", "0.998")
    before = user.state()
    failed(user.run("run"), "no space is left on the disk", ".treadle/jobs", "free some space")
    assert user.state().keeps(before, *BEGUN)
    filler.unlink()
    assert "toy/2 is in production" in user.run("run").out


def test_a_metadata_store_that_fills_up(user: User, full_disk: Path) -> None:
    store = full_disk / "treadle.db"
    shutil.copy(user.folder / ".treadle" / "treadle.db", store)
    with (user.folder / "treadle.toml").open("a") as file:
        file.write(f'[store]\nmetadata = "sqlite:///{store}"\n')
    more(user)
    before = user.state()
    filler = fill(full_disk)
    refused(user.run("data", "add", "rows"), "the disk is full", str(store), "free some space")
    filler.unlink()
    shutil.copy(store, user.folder / ".treadle" / "treadle.db")
    assert user.state().keeps(before)


@pytest.mark.soak  # half a minute
def test_predictions_are_answered_and_kept_while_their_log_has_no_room(user: User, full_disk: Path) -> None:
    import duckdb
    from deltalake import DeltaTable

    moved(user, "tables", full_disk)
    filler = fill(full_disk)
    with user.up() as url:
        flush = re.sub(r"/v2/.*", "/treadle/flush", url)
        for number in range(20):
            body = sent(HOUR, CARRIER, tensor("id", "BYTES", [f"row-{number}"]))
            assert ask("POST", f"{url}/infer", body)[0] == 200
        status, answer = ask("POST", flush, timeout=60)
        assert status == 503, answer
        filler.unlink()
        wait_until(lambda: ask("POST", flush, timeout=60)[0] == 200)
    table = DeltaTable(str(full_disk / "tables" / "predictions" / "toy"))
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT prediction_id FROM read_parquet($1)", [table.file_uris()]
        ).fetchall()
    assert sorted(found) == sorted((f"row-{number}",) for number in range(20))


def test_a_report_that_has_no_room_leaves_the_one_before(user: User, full_disk: Path) -> None:
    page = full_disk / "report.html"
    page.write_text("the one before")
    fill(full_disk)
    before = user.state()
    refused(user.run("report", "--out", str(page)), "no space is left", str(page), "free some space")
    assert page.read_text() == "the one before"
    assert sorted(path.name for path in full_disk.iterdir()) == ["filler", "report.html"]
    assert user.state() == before


def cloned(folder: Path, s3: S3) -> User:
    """A project whose remote is a bucket."""
    folder.mkdir(parents=True)
    options = "".join(f'{name} = "{value}"\n' for name, value in s3.options.items())
    remote = f'[remotes.origin]\nurl = "s3://{s3.bucket}/team"\n[remotes.origin.options]\n{options}'
    (folder / "treadle.toml").write_text(f'[project]\nname = "toy"\n{remote}')
    return User(folder)


@pytest.mark.s3
@pytest.mark.parametrize("full_disk", ["8m"], indirect=True)
@pytest.mark.parametrize(
    "left", [(3_600_000,), pytest.param(range(0, 5_500_000, 100_000), marks=pytest.mark.soak)]
)
def test_a_pull_that_fills_the_disk_leaves_nothing_half_written_and_goes_on(
    tmp_path: Path, full_disk: Path, s3: S3, left: Sequence[int]
) -> None:
    chance = random.Random(3)
    files = {f"small/{number}": chance.randbytes(20_000) for number in range(40)}
    files["model.bin"] = chance.randbytes(1_500_000)
    ada = cloned(tmp_path / "ada", s3)
    for name, data in files.items():
        (ada.folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (ada.folder / "data" / name).write_bytes(data)
    with contextlib.closing(Workspace.open(ada.folder)) as workspace:
        WorkingTree(workspace).add(AddPath(path="data"))
        Remotes(workspace).push(Push())
    refusals = 0
    for room in left:
        ben = cloned(full_disk / "ben", s3)
        shutil.copy(ada.folder / "data.treadle", ben.folder)
        filler = fill(full_disk, leave=room)
        done = ben.run("data", "pull")
        if done.code:
            refused(done, "full" if "disk is full" in done.err else "no space", "ben/", "free some space")
            refusals += 1
            assert _held(ben).items() <= files.items()
            assert ben.litter() == []
        filler.unlink()
        assert ben.run("data", "pull").code == 0
        assert _held(ben) == files
        assert list((ben.folder / ".treadle" / "blobs" / "tmp").iterdir()) == []
        shutil.rmtree(ben.folder)
    assert refusals >= len(left) * 0.8  # in the last rooms all of it fits


def _held(user: User) -> dict[str, bytes]:
    base = user.folder / "data"
    return {str(path.relative_to(base)): path.read_bytes() for path in base.rglob("*") if path.is_file()}
