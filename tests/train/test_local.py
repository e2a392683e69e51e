"""Jobs run once, outlive their caller, and end as they should, whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from treadle.kernel.lock import holder
from treadle.train import JobResult, JobSpec, LocalExecutor
from treadle.train.supervise import BEGUN, EXIT, LOCK, Begun

Job = Callable[..., JobSpec]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    def make(script: str, name: str = "job", command: str = "python script.py", **options: Any) -> JobSpec:
        folder = tmp_path / "jobs" / name
        (folder / "work").mkdir(parents=True)
        (folder / "work" / "script.py").write_text(
            "import os, sys, time, signal, subprocess\n" + textwrap.dedent(script)
        )
        known = {"cwd": str(folder / "work"), "env": {}, "timeout": 60.0, "grace": 1.0}
        return JobSpec(id=name, folder=str(folder), command=command, **(known | options))

    return make


def run(spec: JobSpec, on_poll: Callable[[], None] = lambda: None) -> JobResult:
    executor = LocalExecutor()
    executor.start(spec)
    return executor.wait(spec, on_poll)


def log(spec: JobSpec) -> str:
    return (Path(spec.folder) / "log.txt").read_text()


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def began(spec: JobSpec) -> Begun:
    path = Path(spec.folder) / BEGUN

    def command_known() -> Begun | None:
        found = msgspec.json.decode(path.read_bytes(), type=Begun) if path.exists() else None
        return found if found and found.command else None

    return until(command_known)


def test_a_job_runs_where_and_with_what_it_was_told(job):
    spec = job(
        """
        print(os.getcwd(), os.environ['A'], os.environ['TREADLE_JOB'], sys.prefix)
        print('err', file=sys.stderr)
        """,
        env={"A": "b c"},
    )
    result = run(spec)
    assert (result.outcome, result.exit_code) == ("finished", 0)
    words = log(spec).split()
    assert words == [spec.cwd, "b", "c", spec.folder, sys.prefix, "err"]


def test_the_cost_is_measured_with_the_children(job):
    result = run(
        job(
            """
            work = "import time; b = bytearray(150_000_000)\\nwhile time.process_time() < 0.5: pass"
            subprocess.Popen([sys.executable, "-c", work]).wait()
            """
        )
    )
    assert 0.5 <= result.cpu_seconds < 5
    assert result.wall_seconds >= 0.5
    assert 150e6 < result.peak_bytes < 600e6


@pytest.mark.parametrize(
    ("script", "code"),
    [("sys.exit(3)", 3), ("raise ValueError('no')", 1), ("os.kill(os.getpid(), signal.SIGKILL)", -9)],
)
def test_a_crash_is_told_with_its_code(job, script, code):
    result = run(job(script))
    assert (result.outcome, result.exit_code) == ("crashed", code)


@pytest.mark.parametrize("command", ["no-such-program --x", "./script.py", "'unbalanced"])
def test_a_command_that_cannot_be_run(job, command):
    spec = job("", command=command)
    result = run(spec)
    assert (result.outcome, result.exit_code) == ("crashed", 127)
    assert "treadle: can't run" in log(spec)


def test_a_job_past_its_time_is_asked_to_stop(job):
    spec = job(
        """
        signal.signal(signal.SIGTERM, lambda *_: (print("saving"), sys.exit(0)))
        time.sleep(60)
        """,
        timeout=1.0,
        grace=30.0,
    )
    result = run(spec)
    assert result.outcome == "timed_out"
    assert "saving" in log(spec)
    assert 1 <= result.wall_seconds < 10


def test_a_job_that_does_not_stop_is_killed_with_its_children(job):
    spec = job(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print("deaf", flush=True)
        time.sleep(600)
        """,
        timeout=1.0,
        grace=0.5,
    )
    result = run(spec)
    assert (result.outcome, result.exit_code) == ("timed_out", -9)
    assert result.wall_seconds >= 1.5


def test_what_a_job_leaves_behind_is_ended_and_counted(job):
    """Even in a session of its own; that nothing is left is seen by the fixture around every test."""
    spec = job(
        """
        burn = "import time\\nwhile time.process_time() < 0.4: pass\\n"
        busy = burn + "open('done', 'w').close()\\ntime.sleep(600)"
        subprocess.Popen([sys.executable, "-c", busy], start_new_session=True)
        while not os.path.exists("done"): time.sleep(0.01)
        """
    )
    result = run(spec)
    assert result.outcome == "finished"
    assert result.cpu_seconds >= 0.4


def test_cancelling(job):
    spec = job("print('here', flush=True); time.sleep(600)")
    executor = LocalExecutor()
    executor.start(spec)
    until(lambda: (Path(spec.folder) / "log.txt").exists() and "here" in log(spec))
    executor.cancel(spec)
    result = executor.wait(spec, lambda: None)
    assert (result.outcome, result.exit_code) == ("cancelled", -15)
    before = job("print('never')", name="before")
    executor.cancel(before)
    assert run(before).outcome == "cancelled"
    assert not (Path(before.folder) / "log.txt").exists()


def test_a_job_runs_once_however_often_it_is_started(job):
    spec = job("open('runs', 'a').write('x'); time.sleep(0.3)")
    executor = LocalExecutor()
    threads = [threading.Thread(target=executor.start, args=(spec,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = executor.wait(spec, lambda: None)
    executor.start(spec)
    assert executor.wait(spec, lambda: None) == first
    assert (Path(spec.cwd) / "runs").read_text() == "x"


def test_asking_whether_it_lives_does_not_keep_it_from_starting(job):
    """Whoever probes a lock holds it for an instant; a storm of probes must not lose the job."""
    spec = job("print('ran')")
    stop = threading.Event()

    def probe() -> None:
        while not stop.is_set():
            holder(Path(spec.folder) / LOCK)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        assert run(spec).outcome == "finished"
    finally:
        stop.set()
        thread.join()


def test_an_error_of_the_poll_leaves_the_job_running(job):
    spec = job("while not os.path.exists('go'): time.sleep(0.01)")

    def fail() -> None:
        raise RuntimeError("the caller had enough")

    with pytest.raises(RuntimeError, match="enough"):
        run(spec, fail)
    (Path(spec.cwd) / "go").touch()
    assert run(spec).outcome == "finished"


def test_a_killed_caller_leaves_a_job_that_the_next_one_adopts(job):
    spec = job("print(os.getpid(), flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)")
    script = """
        import sys, msgspec
        from treadle.train import JobSpec, LocalExecutor
        spec = msgspec.json.decode(sys.argv[1], type=JobSpec)
        LocalExecutor().start(spec)
        LocalExecutor().wait(spec, lambda: None)
        """
    arguments = [textwrap.dedent(script), msgspec.json.encode(spec).decode()]
    caller = subprocess.Popen([sys.executable, "-c", *arguments])
    begun = began(spec)
    caller.kill()
    caller.wait()
    assert psutil.pid_exists(begun.command)
    (Path(spec.cwd) / "go").touch()
    assert run(spec).outcome == "finished"
    assert log(spec).split() == [str(begun.command)]


@pytest.mark.parametrize("deaf", [False, True])
def test_a_job_whose_supervisor_is_killed_is_lost_and_ended(job, deaf):
    spec = job(
        f"""
        if {deaf}: signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        time.sleep(600)
        """
    )
    executor = LocalExecutor()
    executor.start(spec)
    begun = began(spec)
    until(lambda: len(psutil.Process(begun.command).children()) == 1)
    os.kill(begun.supervisor, signal.SIGKILL)
    assert executor.wait(spec, lambda: None).outcome == "lost"
    assert not (Path(spec.folder) / EXIT).exists()
    executor.start(spec)
    assert executor.wait(spec, lambda: None).outcome == "lost"


def test_a_process_number_that_was_given_away_is_nobody_of_ours(job):
    spec = job("print('ran')")
    folder = Path(spec.folder)
    (folder / BEGUN).write_bytes(msgspec.json.encode(Begun(os.getpid(), os.getpid())))
    executor = LocalExecutor()
    executor.start(spec)
    assert executor.wait(spec, lambda: None).outcome == "lost"


def test_the_users_modules_do_not_stand_in_for_the_supervisors(job, monkeypatch):
    spec = job("print('ran')")
    for name in ("signal.py", "msgspec.py", "treadle.py"):
        (Path(spec.folder) / name).write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(spec.folder)
    assert run(spec).outcome == "finished"
