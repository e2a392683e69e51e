"""A file that is interrupted while it is made."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from treadle.data.work import placing


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize(
    ("call", "mode"), [("open", 0), ("write", 0), ("fstat", 0), ("close", 0), ("replace", 0), ("symlink", 2)]
)
def test_an_interrupt_leaves_a_whole_file_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, mode: int, replace: bool
) -> None:
    """Python tells of a signal once the call has done its work during which it came."""
    place, function = tmp_path / "a", getattr(os, call)
    if replace:
        place.write_bytes(b"old")

    def interrupted(*arguments: Any) -> Any:
        monkeypatch.setattr(placing.os, call, function)
        done = function(*arguments)
        os.kill(os.getpid(), signal.SIGINT)
        return done

    monkeypatch.setattr(placing.os, call, interrupted)
    try:
        placing.put(str(place), b"new", mode, replace=replace)
    except KeyboardInterrupt:
        assert {one.name for one in tmp_path.iterdir()} <= {"a"}
        if os.path.lexists(place):
            whole = place.readlink() == Path("new") if place.is_symlink() else place.read_bytes() == b"new"
            assert whole or (replace and place.read_bytes() == b"old")
    else:
        assert call in ("fstat", "replace")  # not called for this kind of file
        monkeypatch.undo()
