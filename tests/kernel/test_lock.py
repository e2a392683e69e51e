import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from treadle.kernel.errors import Busy
from treadle.kernel.lock import Holder, exclusive, holder

HOLD = """
import sys, os
from pathlib import Path
from treadle.kernel.lock import Holder, exclusive
with exclusive(Path(sys.argv[1]), Holder(os.getpid(), "treadle up", "http://127.0.0.1:1")):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held_elsewhere(path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=-1, stdout=-1, text=True)
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_nobody_holds_a_lock_that_was_never_taken(tmp_path):
    assert holder(tmp_path / "lock") is None


def test_a_lock_is_held_for_the_block(tmp_path):
    path, me = tmp_path / "deep" / "lock", Holder(os.getpid(), "treadle run")
    with exclusive(path, me):
        assert holder(path) == me
        with pytest.raises(Busy), exclusive(path, me):
            pass
    assert holder(path) is None
    with exclusive(path, me):
        assert holder(path) == me


def test_a_lock_is_let_go_on_an_error(tmp_path):
    with contextlib.suppress(ZeroDivisionError), exclusive(tmp_path / "lock", Holder(1, "x")):
        raise ZeroDivisionError
    assert holder(tmp_path / "lock") is None


def test_another_process_is_told_who_holds_it(tmp_path):
    path = tmp_path / "lock"
    with held_elsewhere(path) as process:
        assert holder(path) == Holder(process.pid, "treadle up", "http://127.0.0.1:1")
        said = rf"treadle up \(process {process.pid}\) is driving"
        with pytest.raises(Busy, match=said) as error, exclusive(path, Holder(1, "treadle run")):
            pass
        assert error.value.where == str(tmp_path)


def test_a_killed_holder_lets_go(tmp_path):
    path = tmp_path / "lock"
    with held_elsewhere(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert holder(path) is None
        with exclusive(path, Holder(1, "next")):
            assert holder(path) == Holder(1, "next")


def test_who_only_looks_is_never_in_the_way(tmp_path):
    """Looking takes a shared lock for a moment; a taker must not be refused for it."""
    path, stop = tmp_path / "lock", threading.Event()
    path.touch()

    def look():
        while not stop.is_set():
            holder(path)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(300):
            with exclusive(path, Holder(number, "taker")):
                pass
    finally:
        stop.set()
        for thread in threads:
            thread.join()
