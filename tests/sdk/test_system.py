"""The machine's load as metrics: true where it can be checked, cheap, and never in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import treadle
from treadle.experiment import JournalReader, LogMetrics
from treadle.kernel.errors import InvalidInput
from treadle.sdk.spool import RUNS
from treadle.sdk.system import Proc, Psutil, Rates, Sampler, readings


def wait_until(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def sampled(root: Path, run_id: str) -> list[LogMetrics]:
    records = JournalReader(root / RUNS / run_id / "journal.jsonl").read()
    return [one for one in records if isinstance(one, LogMetrics) and "system/cpu" in one.values]


def test_the_two_ways_to_read_agree(tmp_path: Path) -> None:
    ours, theirs = Proc(tmp_path), Psutil(psutil, tmp_path)
    one, other = ours.counters(), theirs.counters()
    assert one["process_cpu"] == pytest.approx(other["process_cpu"], abs=0.5)
    assert one["cpu_all"] == pytest.approx(other["cpu_all"], rel=0.01)
    one, other = ours.gauges(), theirs.gauges()
    assert one["memory"] == pytest.approx(other["memory"], abs=5)
    assert one["process_memory_mb"] == pytest.approx(other["process_memory_mb"], rel=0.2)
    assert one["disk"] == pytest.approx(other["disk"], abs=5)
    assert isinstance(readings(tmp_path), Proc)


class Source:
    """Counters that grow as the test says."""

    def __init__(self) -> None:
        self.now = {"cpu_busy": 0.0, "cpu_all": 0.0, "process_cpu": 0.0, "network_sent": 10.0}

    def counters(self):
        return dict(self.now)

    def gauges(self):
        return {"memory": 12.5}


def test_what_grows_becomes_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    source = Source()
    rates = Rates(source, None)
    clock[0] += 10
    source.now = {"cpu_busy": 15.0, "cpu_all": 20.0, "process_cpu": 12.0, "network_sent": 60.0}
    assert rates.read() == {
        "system/cpu": 75.0,
        "system/process_cpu": 120.0,
        "system/network_sent_mb_s": 5.0,
        "system/memory": 12.5,
    }
    clock[0] += 10
    source.now["network_sent"] = 1.0  # an interface went
    assert rates.read()["system/network_sent_mb_s"] == 0


def test_a_run_logs_its_machine(client, inside: Path) -> None:
    with treadle.start_run(system_metrics=0.1) as run:
        wait_until(lambda: len(sampled(inside, run.id)) >= 3)
    count = len(sampled(inside, run.id))
    kept = client.experiments.get(run.id)
    for name in ("cpu", "process_cpu", "memory", "process_memory_mb", "disk", "network_sent_mb_s"):
        assert kept.metrics[f"system/{name}"] >= 0
    assert kept.metrics["system/cpu"] <= 100
    assert len(client.experiments.history(run.id, "system/cpu")) == count
    assert [t.name for t in threading.enumerate() if t.name == "treadle-system"] == []


def test_it_is_on_by_default_and_can_be_left_out(client) -> None:
    with treadle.start_run() as run:
        assert run._sampler._thread.is_alive()
        assert run._sampler._every == 10
    with treadle.start_run(system_metrics=False) as run:
        assert run._sampler is None
    for wrong in (0, 0.01, -1, "yes", float("nan")):
        with pytest.raises(InvalidInput, match="system_metrics"):
            treadle.start_run(system_metrics=wrong)


def test_only_one_process_of_a_machine_reads_it(client, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "4", "RANK": "2", "LOCAL_RANK": "0", "TREADLE_RUN": "run_1"}.items():
        monkeypatch.setenv(name, value)
    with treadle.start_run() as run:
        assert run._sampler._node
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with treadle.start_run() as run:
        assert run._sampler is None


def test_a_reading_that_fails_ends_the_readings_and_nothing_else(tmp_path: Path) -> None:
    def full(_: LogMetrics) -> None:
        raise OSError("no space left")

    sampler = Sampler(full, tmp_path, 0.01)
    sampler.start()
    wait_until(lambda: not sampler._thread.is_alive())
    sampler.stop()


COST = """
import time
from pathlib import Path
from treadle.sdk.system import Rates, readings
rates = Rates(readings(Path(".")), None)
rates.read()
before = time.process_time()
for _ in range(200): rates.read()
print((time.process_time() - before) / 200)
"""


def test_a_reading_every_ten_seconds_costs_less_than_a_thousandth_of_a_core() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COST], capture_output=True, text=True, check=True, env=os.environ
    )
    assert float(done.stdout) < 10 * 0.001
