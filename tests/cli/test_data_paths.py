"""``treadle data ls`` and ``path`` of what lies in versions."""

from __future__ import annotations

import json
import os
from pathlib import Path

import obstore
import pytest
from cli_parts import Call
from obstore.store import from_url

from servers import S3


@pytest.fixture
def pets(call: Call, here: Path) -> Path:
    """A dataset with a branch whose name has a slash."""
    (here / "treadle.toml").write_text('[project]\nname = "toy"\n')
    (here / "pets" / "day=1").mkdir(parents=True)
    (here / "pets" / "run.sh").write_bytes(b"true\n")
    (here / "pets" / "run.sh").chmod(0o755)
    (here / "pets" / "day=1" / "x.csv").write_bytes(b"n\n1\n")
    call("data", "add", "pets")
    assert call("data", "branch", "pets@exp/new").code == 0
    return here


def test_what_lies_in_a_version(call: Call, pets: Path) -> None:
    assert "day=1/" in call("data", "ls", "pets@v1").out
    assert "day=1/x.csv" in call("data", "ls", "pets@exp/new", "-r").out
    told = json.loads(call("data", "ls", "pets@exp/new/day=1", "--json").out)
    assert [(one["path"], one["size"]) for one in told] == [("day=1/x.csv", 4)]


def test_a_path_of_this_machine(call: Call, pets: Path) -> None:
    where = Path(call("data", "path", "pets@exp/new").out.strip())
    assert (where / "day=1" / "x.csv").read_bytes() == b"n\n1\n"
    assert os.access(where / "run.sh", os.X_OK)
    assert not (where / "day=1" / "x.csv").stat().st_mode & 0o222
    told = json.loads(call("data", "path", "pets@v1/day=1/x.csv", "--json").out)
    assert told == {"ref": "pets@v1", "path": str(where / "day=1" / "x.csv")}
    before = (where / "run.sh").stat().st_ino
    (where / "day=1" / "x.csv").unlink()
    call("data", "path", "pets")
    assert (where / "day=1" / "x.csv").read_bytes() == b"n\n1\n"
    assert (where / "run.sh").stat().st_ino == before
    missing = call("data", "path", "pets/nope")
    assert missing.code == 2
    assert "pets@v1 has no 'nope'" in missing.err


def test_a_bucket_is_taken_in(call: Call, pets: Path, s3_lake: S3) -> None:
    lake = from_url(f"s3://{s3_lake.bucket}/lake")
    obstore.put(lake, "one.txt", b"1")
    made = call("data", "import", "bucket", f"s3://{s3_lake.bucket}/lake", "lake").out
    assert made.splitlines()[0] == f"s3://{s3_lake.bucket}/lake is lake@v1: 1 file, 1 B, none copied"
    assert f"→ s3://{s3_lake.bucket}/lake/one.txt" in call("data", "ls", "lake").out
    assert "of 1 in buckets only the ETag" in call("data", "verify", "lake").out
    obstore.delete(lake, "one.txt")
    found = call("data", "verify", "lake")
    assert found.code == 1
    assert "lake@v1 one.txt: the object is gone" in found.out
