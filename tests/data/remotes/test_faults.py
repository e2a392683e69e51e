"""What goes wrong between two clones and their remote loses nothing and hides nothing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from data.remotes.conftest import Clone, together
from data.remotes.proxies import flaky_proxy
from servers import S3
from treadle.data.branches.commits import read_commit
from treadle.kernel.errors import CorruptData

chance = random.Random(11)
SMALL = {f"train/{number}.txt": f"{number}".encode() * 50 for number in range(60)}
FILES = {**SMALL, "model.bin": chance.randbytes(3 << 20)}

KILLED = """
import os, sys
from pathlib import Path
import obstore
from treadle.data import Push, Remotes
from treadle.kernel import blobs, pieces
from treadle.kernel.workspace import Workspace
pieces.PIECE = blobs.PIECE = 1 << 19
root, steps, count = Path(sys.argv[1]), int(sys.argv[2]), 0
put = obstore.put
def counted(*given, **named):
    global count
    count += 1
    mine = count
    if mine * 2 - 1 == steps:
        os.kill(os.getpid(), 9)
    done = put(*given, **named)
    if mine * 2 == steps:
        os.kill(os.getpid(), 9)
    return done
obstore.put = counted
Remotes(Workspace.open(root)).push(Push(refs=("data",)))
"""


@pytest.mark.s3
@pytest.mark.parametrize("steps", [(3, 14), pytest.param(range(1, 33), marks=pytest.mark.soak)])
def test_killed_before_or_after_any_request_what_is_listed_in_a_bucket_is_whole(
    clone: Callable[..., Clone],
    s3: S3,
    steps: Sequence[int],
) -> None:
    ada = clone("ada", f"s3://{s3.bucket}/team", s3.options)
    ada.add(FILES)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = 0
    for step in (*steps, 10_000):
        command = [sys.executable, "-c", KILLED, str(ada.root), str(step)]
        done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
        assert done.returncode in (0, -9), done.stderr
        killed += done.returncode == -9
        assert ada.verify(at_remote=True).damages == ()
    assert killed >= 2
    assert done.returncode == 0
    ben = clone("ben", f"s3://{s3.bucket}/team", s3.options)
    ben.fetch("data")
    assert ben.read("data") == FILES


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
@pytest.mark.parametrize("which", ["pack", "large"])
def test_what_a_remote_damaged_is_told_and_the_rest_comes(
    clone: Callable[..., Clone], damage: str, which: str
) -> None:
    ada, ben = clone("ada"), clone("ben")
    ada.add(FILES)
    ada.push()
    large = max(ada.remote.blobs.stored(), key=lambda blob: blob.size).digest
    commit = read_commit(ada.workspace, ada.branches.resolve("data@v1").commit_id)
    digest = large if which == "large" else commit.packs[0].digest
    path = ada.remote.blobs.path(digest)
    assert path is not None
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:100] + b"?" + data[101:] if damage == "flipped" else data[:-100])
    what = "model.bin" if which == "large" else "a pack"
    with pytest.raises(CorruptData, match=rf"1 blob is .* at remote 'origin'.*{what} of data@v1"):
        ben.fetch("data")
    assert damage == "gone" or ben.verify().damages == ()
    assert not ben.workspace.blobs.has(digest)
    path.write_bytes(data)
    ben.fetch("data")
    assert ben.read("data") == FILES


@pytest.mark.s3
@pytest.mark.parametrize("fault", ["drop", "damage"])
def test_over_a_line_that_fails_both_ways_all_of_it_arrives(
    clone: Callable[..., Clone],
    s3: S3,
    fault: str,
) -> None:
    url = f"s3://{s3.bucket}/team"
    with flaky_proxy(s3.endpoint) as proxy:
        options = {**s3.options, "endpoint": proxy.url}
        ada, ben = clone("ada", url, options), clone("ben", url, options)
        ada.add(FILES)
        proxy.up += [fault, fault]  # type: ignore[list-item]
        ada.push()
        proxy.down += [fault, fault]  # type: ignore[list-item]
        ben.fetch("data")
        assert len(proxy.happened) == 4
        assert ben.read("data") == FILES
        assert ada.verify(at_remote=True).damages == ()


@pytest.mark.s3
@pytest.mark.parametrize(
    "fault",
    [pytest.param("drop", marks=pytest.mark.soak), pytest.param("cut", marks=pytest.mark.soak), "damage"],
)
@pytest.mark.parametrize(
    "after", [1 << 20, *(pytest.param(n * 700_000, marks=pytest.mark.soak) for n in range(8))]
)
def test_parts_that_are_read_over_a_line_that_fails(
    clone: Callable[..., Clone], s3: S3, fault: str, after: int
) -> None:
    """What came damaged isn't taken out of the cache again and again."""
    url = f"s3://{s3.bucket}/team"
    files = {f"big/{n}.bin": chance.randbytes(900_000) for n in range(5)} | {"model.bin": FILES["model.bin"]}
    ada = clone("ada", url, s3.options)
    ada.add(files)
    ada.push()
    with flaky_proxy(s3.endpoint) as proxy:
        for number, bring in enumerate((_some, Clone.checkout)):
            ben = clone(f"ben{number}", url, {**s3.options, "endpoint": proxy.url})
            ben.take(ada)
            ben.fetch(contents=False)
            proxy.after, proxy.down[:] = after, [fault]  # type: ignore[list-item]
            bring(ben)
            assert ben.read("data") == files
            assert ben.verify().damages == ()
        assert fault in proxy.happened


def _some(of: Clone) -> object:
    return of.fetch("data/big/3.bin", "data/model.bin")


@pytest.mark.parametrize("place", ["folder", pytest.param("s3", marks=pytest.mark.s3)])
def test_several_that_push_the_same_bytes_at_once(
    clone: Callable[..., Clone], request: pytest.FixtureRequest, place: str
) -> None:
    where: tuple[str, dict[str, str]] = ("../remote", {})
    if place == "s3":
        server: S3 = request.getfixturevalue("s3")
        where = f"s3://{server.bucket}/team", server.options
    clones = [clone(name, *where) for name in ("ada", "ben", "eve")]
    for number, one in enumerate(clones):
        one.add({**FILES, "own.txt": f"{number}".encode()}, branch=f"of-{number}")
    together(*(partial(one.push, f"data@of-{number}") for number, one in enumerate(clones)))
    assert clones[0].verify(at_remote=True).versions == 3
    assert clones[0].verify(at_remote=True).damages == ()
    fay = clone("fay", *where)
    for number in range(3):
        (found,) = fay.fetch(f"data@of-{number}")
        assert fay.read(found.ref) == {**FILES, "own.txt": f"{number}".encode()}
