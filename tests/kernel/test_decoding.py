"""Types that several threads decode for the first time at once."""

from __future__ import annotations

import subprocess
import sys

RACE = """
import sys, threading
import msgspec
from treadle.kernel.decoding import prepare_decoding

sys.setswitchinterval(1e-6)
for number in range(300):
    inner = msgspec.defstruct(f"Inner{number}", [(f"a{k}", int | None, None) for k in range(5)])
    outer = msgspec.defstruct(f"Outer{number}", [(f"f{k}", inner | None, None) for k in range(40)])
    if number == 0 or sys.argv[1] == "prepared":
        assert prepare_decoding() >= 2
    start = threading.Barrier(3)

    def decode():
        start.wait()
        assert msgspec.json.decode(b'{"f3": {"a1": 1}, "f39": {"a4": 2}}', type=outer).f39.a4 == 2

    threads = [threading.Thread(target=decode) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
"""


def test_threads_that_decode_a_prepared_type_at_once_live() -> None:
    """Without preparing, one of the first hundreds of types ends the process by a segmentation fault."""
    done = subprocess.run([sys.executable, "-c", RACE, "prepared"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
