"""Several processes write one run, on one machine or several: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import treadle
from live import Up, live  # noqa: F401 - a fixture
from treadle.client import Client
from treadle.kernel.errors import Busy, InvalidInput
from treadle.sdk import ranks, sync
from treadle.sdk.spool import RUNS

RANKED = """
import os, sys, treadle
rank = int(os.environ["RANK"])
with treadle.start_run("ranked", params={"depth": 7}) as run:
    assert run.params["depth"] == 7
    for step in range(200):
        run.log({f"loss/{rank}": float(step), "shared": float(rank)}, step=step)
    run.log_params(rank=rank)
    with open(f"part{rank}.txt", "w") as file: file.write(str(rank))
    run.log_artifact(f"part{rank}.txt")
    print(run.id, flush=True)
    if rank == int(os.environ.get("FAILS", "-1")): raise ValueError("oh")
"""
LAUNCHER = """
import os, subprocess, sys
world = int(sys.argv[1])
there = {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1"}
ranks = [
    subprocess.Popen([sys.executable, "ranked.py"], env={**os.environ, **there, "RANK": n, "LOCAL_RANK": n})
    for n in map(str, range(world))
]
codes = [one.wait() for one in ranks]
print(codes)
"""


def launch(folder: Path, world: int, **env: str) -> list[str]:
    """Starts ranks as torchrun does; returns what they print, each once."""
    (folder / "ranked.py").write_text(RANKED)
    (folder / "launch.py").write_text(LAUNCHER)
    done = subprocess.run(
        [sys.executable, "launch.py", str(world)], cwd=folder, env={**os.environ, **env},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    *ids, codes = done.stdout.strip().splitlines()
    assert len(ids) == world, done.stderr
    assert codes == str([int(str(n) == env.get("FAILS")) for n in range(world)]), done.stderr
    return sorted(set(ids))


def check_ranked(run, history, files: list[str], world: int) -> None:
    assert (run.name, run.status) == ("ranked", "finished")
    assert (run.params["depth"], run.params["rank"] in range(world)) == (7, True)
    for rank in range(world):
        assert [p.value for p in history(f"loss/{rank}")] == [float(n) for n in range(200)]
    assert len(history("shared")) == 200 * world
    assert [f"part{n}.txt" in files for n in range(world)] == [True] * world
    told = {value for name, value in run.tags.items() if name.endswith("/rank")}
    assert told | {str(run.params["rank"])} == {str(n) for n in range(world)}


def test_ranks_of_torchrun_write_one_run(client, inside):
    (run_id,) = launch(inside, 3, TREADLE_URL="http://127.0.0.1:9")
    assert sync(client, inside) == [run_id]
    run = client.experiments.get(run_id)
    files = [a.path for a in client.experiments.artifacts(run_id)]
    check_ranked(run, lambda name: client.experiments.history(run_id, name), files, 3)
    (inside / RUNS / run_id / "synced").unlink()
    assert sync(client, inside) == [run_id]
    assert client.experiments.get(run_id) == run
    assert len(client.experiments.history(run_id, "shared")) == 600


def test_ranks_send_to_a_server_and_each_launch_is_a_run(live: Up, inside: Path) -> None:  # noqa: F811 - the fixture
    (first,) = launch(inside, 2, TREADLE_URL=live.url)
    (second,) = launch(inside, 2, TREADLE_URL=live.url, FAILS="1")
    assert first != second
    with Client.http(live.url) as client:
        sync(client, inside)
        for run_id in (first, second):
            run = client.run(run_id)
            files = [a.path for a in client.artifacts(run_id)]
            check_ranked(run, lambda name, run_id=run_id: client.history(run_id, name), files, 2)
        failed = [value for name, value in run.tags.items() if name.startswith("rank1-") and "/" not in name]
        assert failed == ["failed: ValueError: oh"]


def test_writers_on_machines_that_share_no_disk(client, inside, tmp_path, monkeypatch):
    lead = treadle.start_run(id="run_shared", shared=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "treadle.toml").write_text((inside / "treadle.toml").read_text())
    code = (
        "import treadle\nrun = treadle.attach('run_shared')\n"
        "for n in range(50): run.log(b=n)\nrun.log_artifact(__file__, 'there.py')\nrun.finish()"
    )
    (other / "worker.py").write_text(code)
    env = {**os.environ, "TREADLE_URL": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "worker.py"], cwd=other, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "`treadle sync` sends it" in done.stderr
    lead.log(a=1.0)
    lead.finish()
    assert sync(client, other) == ["run_shared"]
    assert sync(client, other) == []
    run = client.experiments.get("run_shared")
    assert (run.status, run.metrics) == ("finished", {"a": 1.0, "b": 49.0})
    assert len(client.experiments.history("run_shared", "b")) == 50
    assert "there.py" in {a.path for a in client.experiments.artifacts("run_shared")}


def test_two_machines_that_start_the_same_run_lose_nothing(client, inside, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "treadle.toml").write_text((inside / "treadle.toml").read_text())
    for place, value in ((inside, 1.0), (other, 2.0)):
        monkeypatch.chdir(place)
        with treadle.start_run(id="run_twice") as run:
            for _ in range(10):
                run.log(who=value)
    values = [p.value for p in client.experiments.history("run_twice", "who")]
    assert sorted(values) == [1.0] * 10 + [2.0] * 10


def test_a_shared_run_has_one_who_started_it(client, inside):
    lead = treadle.start_run(id="run_1", shared=True)
    with pytest.raises(Busy):
        treadle.start_run(id="run_1")
    follower = treadle.start_run(id="run_1", shared=True)
    follower.log(a=1.0)
    follower.finish()
    lead.log(b=1.0)
    assert lead._status is None
    lead.finish()
    run = client.experiments.get("run_1")
    assert (run.status, run.metrics) == ("finished", {"a": 1.0, "b": 1.0})


def test_a_run_is_gone_on_with_by_its_identifier(client, inside):
    with treadle.start_run(id="run_1", params={"lr": 1.0}) as run:
        run.log(a=1.0)
        run.log_params(found=3)
    with treadle.start_run(id="run_1", params={"lr": 1.0}) as again:
        assert again.params["found"] == 3
        again.log(a=2.0)
    assert [p.value for p in client.experiments.history("run_1", "a")] == [1.0, 2.0]
    with pytest.raises(Exception, match="can't become"):
        treadle.start_run(id="run_1", params={"lr": 2.0})
    with treadle.start_run(id="run_1"):
        pass


SPAWN = """
import multiprocessing, sys, treadle
def work(run, n):
    for step in range(100): run.log({f"w{n}": step}, step=step)
    run.log(done=n)
if __name__ == "__main__":
    with treadle.start_run(id="run_spawn") as run:
        context = multiprocessing.get_context(sys.argv[1])
        workers = [context.Process(target=work, args=(run, n)) for n in range(3)]
        for worker in workers: worker.start()
        for worker in workers: worker.join(); assert worker.exitcode == 0
        run.log(all=1)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_multiprocessing(client, inside, method):
    (inside / "parallel.py").write_text(SPAWN)
    env = {**os.environ, "TREADLE_URL": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "parallel.py", method], cwd=inside, env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sync(client, inside) == ["run_spawn"]
    for n in range(3):
        points = client.experiments.history("run_spawn", f"w{n}")
        assert [p.value for p in points] == [float(step) for step in range(100)]
    assert client.experiments.get("run_spawn").metrics["all"] == 1.0


def test_a_handle_that_is_sent_back_is_the_same(client):
    with treadle.start_run() as run:
        assert pickle.loads(pickle.dumps(run)) is run


def test_the_death_of_one_writer_and_of_all(client, inside):
    code = (
        "import treadle, sys\nrun = treadle.{how}\nrun.log({name}=1)\nprint('ready', flush=True)\n"
        "sys.stdin.read()"
    )
    both = []
    for how, name in (("start_run(id='run_1')", "a"), ("attach('run_1')", "b")):
        process = subprocess.Popen(
            [sys.executable, "-c", code.format(how=how, name=name)], cwd=inside, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "TREADLE_URL": "http://127.0.0.1:9"},
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        both.append(process)
    lead, other = both
    kill(lead)
    sync(client, inside)
    assert client.experiments.get("run_1").status == "running", "another writer lives"
    kill(other)
    assert sync(client, inside) == ["run_1"]
    run = client.experiments.get("run_1")
    assert run.metrics == {"a": 1.0, "b": 1.0}
    assert run.message.startswith("killed: 2 records kept, last at ")


def kill(process: subprocess.Popen) -> None:
    with process:
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while process.poll() is None:
        assert time.monotonic() < deadline


def test_attaching_needs_a_name(client, monkeypatch):
    with pytest.raises(InvalidInput, match="no run is named"):
        treadle.attach()
    with pytest.raises(InvalidInput, match="can't be the name of a run"):
        treadle.attach("../x")
    monkeypatch.setenv("TREADLE_RUN", "run_9")
    attached = treadle.attach()
    assert attached.id == "run_9"
    attached.abandon()


def test_how_ranks_agree():
    torchrun = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    assert ranks.seen(torchrun, asked=False) == ranks.Rank(3, 8, 1)
    assert ranks.seen({"RANK": "0", "WORLD_SIZE": "1"}, asked=False) is None
    slurm = {"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0", "SLURM_JOB_ID": "7"}
    assert ranks.seen(slurm, asked=False) is None, "they may be trainings of their own"
    assert ranks.seen(slurm, asked=True) == ranks.Rank(2, 4, 0)
    one = torchrun | {"LOCAL_WORLD_SIZE": "8"}
    here = ranks.common_id(one, "boot 12 345", 0)
    assert here == ranks.common_id(one | {"RANK": "4"}, "boot 12 345", 0)
    different = {here, ranks.common_id(one, "boot 12 346", 0), ranks.common_id(one, "boot 12 345", 1)}
    assert len(different) == 3
    many = torchrun | {"LOCAL_WORLD_SIZE": "4"}
    assert ranks.common_id(many, "boot 12 345", 0) is None
    assert ranks.common_id(many | {"SLURM_JOB_ID": "7"}, "a", 0) == ranks.common_id(
        many | {"SLURM_JOB_ID": "7"}, "b", 0
    )
    assert ranks.common_id(many | {"TREADLE_RUN": "run_x"}, None, 0) == "run_x"
    elastic = many | {"TORCHELASTIC_RUN_ID": "job", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    assert ranks.common_id(elastic, None, 0) != ranks.common_id(elastic | {"MASTER_PORT": "2"}, None, 0)


def test_a_shared_run_that_nothing_names_is_refused(client, monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match="nothing tells them which"):
        treadle.start_run(shared=True)
