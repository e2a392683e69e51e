"""A collector at work takes nothing of what is pushed or pulled meanwhile, in a folder or a bucket."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import obstore
import pytest

from data.remotes.conftest import Clone, together
from servers import S3
from treadle.data import Branches, Checkout, KeptByData, Retention, WorkingTree
from treadle.govern import Collect, Collector
from treadle.govern.collecting import SAFETY
from treadle.kernel import blobs, fence, pieces

chance = random.Random(12)
NAMES = [f"{kind}{number}" for number in range(4) for kind in ("data", "large")]


def fill(ada: Clone) -> None:
    """A version of each dataset: small files in a pack, or a large one beside a small one."""
    for name in NAMES:
        files = {f"{n}.txt": f"{name} {n}".encode() for n in range(20)}
        ada.add(files if name.startswith("data") else {"model.bin": chance.randbytes(1_200_000)}, folder=name)


def age(of: Clone, ada: Clone) -> None:
    """Lets a clone's own store have all of Ada's blobs, since long ago."""
    old = time.time() - 2 * SAFETY.total_seconds()
    for blob in list(ada.workspace.blobs.stored()):
        path = ada.workspace.blobs.path(blob.digest)
        assert path is not None
        copy = of.workspace.blobs.path(of.workspace.blobs.put_file(path))
        assert copy is not None
        os.utime(copy, (old, old))


def collect(of: Clone, over: threading.Event, freed: list[int]) -> None:
    """Collects again and again."""
    keepers = [KeptByData()]
    retention = Retention(of.workspace, Branches(of.workspace), keepers, lambda *_: set())
    collector = Collector(of.workspace, keepers, retention)
    while not over.is_set():
        freed.append(collector.collect(Collect(apply=True)).blobs)


def test_pushes_into_a_folder(clone: Callable[..., Clone]) -> None:
    """What an earlier push left unlisted is old: it goes and is sent again, or it is claimed and stays."""
    ada, server = clone("ada", "../server/.treadle/blobs"), clone("server")
    fill(ada)
    age(server, ada)
    over = threading.Event()
    freed: list[int] = []

    def pushes() -> None:
        try:
            for name in NAMES:
                ada.push(name)
        finally:
            over.set()

    together(partial(collect, server, over, freed), pushes)
    found = ada.verify(at_remote=True)
    assert (found.versions, found.damages) == (8, ())
    assert freed
    ben = clone("ben", "../server/.treadle/blobs")
    for name in NAMES:
        ben.fetch(name)
        assert ben.read(name) == ada.read(name)


@pytest.mark.s3
@pytest.mark.parametrize("rounds", [1, pytest.param(12, marks=pytest.mark.soak)])
def test_pushes_into_a_bucket_and_pulls_from_it(
    clone: Callable[..., Clone], s3: S3, monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    """One collector is at work in the bucket, which is a project's own store, and one where it is pulled.

    In both places all of it lies already, unlisted and old, as what broke off long ago leaves it.
    """
    monkeypatch.setattr(pieces, "PIECE", 1 << 19)
    monkeypatch.setattr(blobs, "PIECE", 1 << 19)
    monkeypatch.setattr(fence, "_FRESH", timedelta(0))
    freed: tuple[list[int], list[int]] = ([], [])
    for number in range(rounds):
        place = f"s3://{s3.bucket}/{number}", s3.options
        ada, ben = clone(f"{number}/ada", *place), clone(f"{number}/ben", *place)
        server = clone(f"{number}/server", *place, stores=True)
        fill(ada)
        age(ben, ada)
        _push_unlisted(ada, server, monkeypatch)
        over, pushed = threading.Event(), [threading.Event() for _ in NAMES]
        pushes = partial(_pushes, ada, pushed)
        pulls = partial(_pulls, ben, ada, pushed, over)
        collects = [
            partial(collect, one, over, found) for one, found in zip((server, ben), freed, strict=True)
        ]
        together(*collects, pushes, pulls)
        for found in (ada.verify(at_remote=True), ben.verify()):
            assert (found.versions, found.damages) == (len(NAMES), ())
        for name in NAMES:
            assert ben.holds(name) == ada.holds(name)
    assert sum(freed[0]), "nothing went from the bucket, so that nothing was tried"
    assert sum(freed[1]), "nothing went from the clone, so that nothing was tried"


def _push_unlisted(ada: Clone, server: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushes everything, takes the lists away, and lets what is there now be old, and nothing that comes."""
    ada.push(*NAMES)
    for prefix in ("versions", "refs"):
        for found in obstore.list(ada.remote.blobs.objects, prefix=prefix):
            obstore.delete(ada.remote.blobs.objects, [one["path"] for one in found])
    time.sleep(1.05 - time.time() % 1)  # the server tells times by the second
    at = server.workspace.blobs.now()
    monkeypatch.setattr(server.workspace.blobs, "now", lambda: at + SAFETY)


def _pushes(ada: Clone, pushed: list[threading.Event]) -> None:
    try:
        for name, done in zip(NAMES, pushed, strict=True):
            ada.push(name)
            done.set()
    finally:
        for done in pushed:
            done.set()


def _pulls(ben: Clone, ada: Clone, pushed: list[threading.Event], over: threading.Event) -> None:
    try:
        ben.take(ada)
        for name, done in zip(NAMES, pushed, strict=True):
            assert done.wait(60)
            ben.fetch(name)
            WorkingTree(ben.workspace).checkout(Checkout(paths=(name,)))
    finally:
        over.set()
