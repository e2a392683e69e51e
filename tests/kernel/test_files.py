import subprocess
import sys

import pytest

from datafiles import names
from servers import fill
from treadle.kernel.errors import InvalidInput, StorageError, StorageFull
from treadle.kernel.files import replacing, storage_errors, write_atomic


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "deep" / "er" / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["file"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:  # noqa: PT012 - the block is what fails
        temporary.write_bytes(b"half of the n")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"old")
    script = (
        "import os, signal, sys; from pathlib import Path; from treadle.kernel.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script, path], check=False).returncode == -9
    assert path.read_bytes() == b"old"


def test_a_full_disk(full_disk):
    path = full_disk / "file"
    write_atomic(path, b"old")
    filler = fill(full_disk, leave=10_000)
    with pytest.raises(StorageFull) as error:
        write_atomic(path, bytes(100_000))
    assert error.value.where == str(path)
    assert path.read_bytes() == b"old"
    assert names(full_disk) == ["file", "filler"]
    filler.unlink()
    write_atomic(path, bytes(100_000))
    assert path.stat().st_size == 100_000


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError) as error:
        write_atomic(tmp_path / "file" / "below" / "it", b"x")
    assert type(error.value) is StorageError
    assert names(tmp_path) == ["file"]


def test_errors_of_the_house_pass_as_they_are():
    with pytest.raises(InvalidInput, match="mine"), storage_errors("here"):
        raise InvalidInput("mine")
    with pytest.raises(StorageError) as error, storage_errors("here"):
        raise PermissionError(13, "Permission denied")
    assert str(error.value) == "here: Permission denied\n  → make it readable and writable for this user"
