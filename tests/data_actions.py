"""What is done to data while it is killed, and what must be true whenever that happens."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from branching import commit
from treadle.data import (
    AddPath,
    Branches,
    Checkout,
    Decision,
    KeptByData,
    MergeReview,
    NewReview,
    Pull,
    Push,
    RefSettings,
    Remotes,
    Reviews,
    RunGates,
    Verify,
    WorkingTree,
)
from treadle.data.storage import writing
from treadle.data.tree.pages import entry_at
from treadle.data.tree.trees import entries, lookup
from treadle.data.work import sharing
from treadle.data.work import writing as files
from treadle.data.work.pointer import read_pointer
from treadle.evaluate import DataGates
from treadle.kernel import blobs, pieces
from treadle.kernel.blobs import ObjectBlobStore
from treadle.kernel.errors import Busy, Conflict
from treadle.kernel.ids import digest_bytes
from treadle.kernel.uploads import BlobUpload
from treadle.kernel.workspace import Workspace

writing.PACK_SIZE = 40_000  # several packs of few files
pieces.PIECE = blobs.PIECE = 1 << 19  # and several pieces of what isn't large


def fill(folder: Path, seed: int) -> None:
    """Some files of every kind."""
    chance = random.Random(seed)
    for number in range(40):
        path = folder / f"{'ab'[number % 2]}" / f"{number:02d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(3000))
    for number in range(2):
        (folder / f"large{number}").write_bytes(chance.randbytes(1_500_000))
    (folder / "empty").touch()
    (folder / "folder").mkdir(exist_ok=True)


def whole(workspace: Workspace) -> list[str]:
    """Reads every version of everything; returns their references, the newest first."""
    branches = Branches(workspace)
    found = []
    for dataset in branches.datasets():
        number = branches.resolve(dataset.name).number
        for one in range(number, 0, -1):
            version = branches.resolve(f"{dataset.name}@v{one}")
            contents = branches.contents(version)
            for leaf in entries(version.tree, contents):
                for row in range(len(leaf)):
                    entry = entry_at(leaf, row)
                    assert digest_bytes(contents.read(entry.digest, entry.size)) == entry.digest
            found.append(version.ref)
    return found


def prepare(root: Path) -> None:
    """A project with a version, and changes since."""
    root.mkdir()
    (root / "treadle.toml").write_text('[project]\nname = "toy"\n')
    fill(root / "data", 1)
    workspace = Workspace.open(root)
    WorkingTree(workspace).add(AddPath(path="data"))
    (root / "data" / "a" / "00").write_bytes(b"changed")
    (root / "data" / "b" / "01").unlink()
    (root / "data" / "large0").write_bytes(os.urandom(1_600_000))
    (root / "data" / "new").write_bytes(b"new")
    workspace.close()


def add(root: Path) -> None:
    WorkingTree(Workspace.open(root)).add(AddPath(path="data"))


def check_add(root: Path) -> None:
    """Every version is whole, and the pointer names one of them."""
    workspace = Workspace.open(root)
    found = whole(workspace)
    assert found in (["data@v1"], ["data@v2", "data@v1"])
    pointer = read_pointer(root / "data.treadle")
    assert f"data@v{pointer.version}" in found
    [status] = WorkingTree(workspace).status()
    assert status.clean == (pointer.version == 2)


def done_add(root: Path) -> None:
    check_add(root)
    assert read_pointer(root / "data.treadle").version == 2


def checkout(root: Path) -> None:
    """Drops what changed."""
    WorkingTree(Workspace.open(root)).checkout(Checkout(paths=("data",), force=True))


def check_checkout(root: Path) -> None:
    """Each file is the old one, the new one or, where a new one was begun, that; the version is whole."""
    assert whole(Workspace.open(root)) == ["data@v1"]
    large = root / "data" / "large0"
    assert large.stat().st_size in (1_500_000, 1_600_000)
    assert (root / "data" / "a" / "00").stat().st_size in (7, 3000)


def done_checkout(root: Path) -> None:
    [status] = WorkingTree(Workspace.open(root)).status()
    assert (status.modified, status.deleted, [c.path for c in status.changes]) == (0, 0, ["new"]), status


def prepare_checkout_anew(root: Path) -> None:
    """A project whose data isn't there."""
    prepare(root)
    shutil.rmtree(root / "data")


def checkout_anew(root: Path) -> None:
    """Into a folder that isn't there; what broke off is taken up."""
    WorkingTree(Workspace.open(root)).checkout(Checkout())


def check_checkout_anew(root: Path) -> None:
    """What is there is of the version, or the beginning of it."""
    workspace = Workspace.open(root)
    assert whole(workspace) == ["data@v1"]
    [status] = WorkingTree(workspace).status()
    assert not status.present or status.modified <= 1


def done_checkout_anew(root: Path) -> None:
    [status] = WorkingTree(Workspace.open(root)).status()
    assert status.clean


prepare_checkout_shared = prepare_checkout_anew
check_checkout_shared, done_checkout_shared = check_checkout_anew, done_checkout_anew


def checkout_shared(root: Path) -> None:
    """As before, but by two processes, of which the second one makes what it can."""
    mine = sharing.Sharing.mine
    files.MANY, files._SHARED_BATCH = 1, 5
    sharing.Sharing.mine = lambda self: (time.sleep(0.1), mine(self))[1]
    tree, late = WorkingTree(Workspace.open(root)), time.monotonic() + 5
    while time.monotonic() < late:
        with contextlib.suppress(Busy):  # the helper of one that was killed has not ended yet
            tree.checkout(Checkout())
            break


def prepare_merge_review(root: Path) -> None:
    """A protected branch that moved since, and a review that may be merged, by path and by row."""
    root.mkdir()
    (root / "treadle.toml").write_text(
        '[project]\nname = "toy"\n[data.data]\npath = "data"\nkey = "id"\npre_merge = ["true"]\n'
    )
    workspace = Workspace.open(root)
    branches = Branches(workspace)
    branches.create_dataset("data", "anna")
    large = random.Random(1).randbytes(50_000)
    commit(branches, {"table.csv": "id,value\n1,a\n2,b\n", "large": large}, dataset="data")
    branches.create_ref("data", "branch", "exp", "main", "anna")
    commit(branches, {"table.csv": "id,value\n1,a\n2,ours\n", "ours": "1"}, dataset="data")
    commit(branches, {"table.csv": "id,value\n1,theirs\n2,b\n", "theirs": "1"}, "exp", "data")
    settings = RefSettings(protected=True, approvals=1, checks=("volume",))
    branches.protect("data", "main", settings, "anna")
    reviews = Reviews(workspace, branches, DataGates(workspace))
    reviews.open("data", NewReview(source="exp", title="New", actor="anna"))
    reviews.decide("data", 1, Decision(decision="approved", actor="ben"))
    reviews.check("data", 1, RunGates())
    with workspace.database.read() as connection:
        kept = set(KeptByData().blobs(workspace, connection, set()))
    for blob in list(workspace.blobs.stored()):  # what the check made is collected meanwhile
        if blob.digest not in kept:
            workspace.blobs.path(blob.digest).unlink()
    workspace.close()


def merge_review(root: Path) -> None:
    """Merges it; where blobs are written are steps as well."""
    for owner, name in ((ObjectBlobStore, "put"), (BlobUpload, "finish")):
        setattr(owner, name, _stepping(getattr(owner, name)))
    workspace = Workspace.open(root)
    branches = Branches(workspace)
    reviews = Reviews(workspace, branches, DataGates(workspace))
    try:
        reviews.merge("data", 1, MergeReview(actor="cleo"))
    except Conflict as error:  # it was merged before it was killed
        if "is merged as data@v4" not in error.message:
            raise


def _stepping(work: Callable[..., object]) -> Callable[..., object]:
    def stepping(*arguments: object, **named: object) -> object:
        sys.audit("os.link", "", "", 0, 0)
        done = work(*arguments, **named)
        sys.audit("os.link", "", "", 0, 0)
        return done

    return stepping


def check_merge_review(root: Path) -> None:
    """Every version is whole; the review is merged and its target moved, or neither."""
    workspace = Workspace.open(root)
    branches = Branches(workspace)
    head = branches.head("data", "main")
    assert head is not None
    found = Reviews(workspace, branches, DataGates(workspace)).list("data")[0]
    assert (found.state, found.merged, head.number) in (("open", None, 2), ("merged", 4, 4))
    assert whole(workspace)  # up to where main stands
    assert branches.resolve("data@exp").number == 3


def done_merge_review(root: Path) -> None:
    check_merge_review(root)
    workspace = Workspace.open(root)
    branches = Branches(workspace)
    [found] = Reviews(workspace, branches, DataGates(workspace)).list("data")
    assert (found.state, found.merged) == ("merged", 4)
    events = Reviews(workspace, branches, DataGates(workspace)).show("data", 1).events
    assert [one.kind for one in events] == ["opened", "approved", "checked", "merged"]
    version = branches.resolve("data@main")
    contents = branches.contents(version)
    table, ours, theirs = (lookup(version.tree, path, contents) for path in ("table.csv", "ours", "theirs"))
    assert table
    assert ours
    assert theirs
    assert contents.read(table.digest, table.size) == b"id,value\n1,theirs\n2,ours\n"


# ── remotes: ada's clone, ben's, and a folder that both know as a remote ──


def prepare_push(root: Path) -> None:
    """Ada has two versions, and there is nothing at the remote."""
    root.mkdir()
    prepare(root / "ada")
    add(root / "ada")
    _clone(root / "ada")
    _clone(root / "ben")


def _clone(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "treadle.toml").write_text('[project]\nname = "toy"\n[remotes.origin]\nurl = "../remote"\n')
    pointer = folder.parent / "ada" / "data.treadle"
    if folder.name != "ada":
        shutil.copy(pointer, folder)


def push(root: Path) -> None:
    Remotes(Workspace.open(root / "ada")).push(Push())


def check_push(root: Path) -> None:
    """What is listed at the remote is whole, bit for bit, and so is everything here."""
    workspace = Workspace.open(root / "ada")
    assert whole(workspace) == ["data@v2", "data@v1"]
    if (root / "remote").exists():
        assert Remotes(workspace).verify(Verify(at_remote=True)).damages == ()


def done_push(root: Path) -> None:
    assert Remotes(Workspace.open(root / "ada")).verify(Verify(at_remote=True)).versions == 2
    pull(root)
    done_pull(root)


def prepare_pull(root: Path) -> None:
    """Everything is at the remote, and Ben has the pointer."""
    prepare_push(root)
    push(root)


def pull(root: Path) -> None:
    """What the command of that name does."""
    Remotes(Workspace.open(root / "ben")).pull(Pull())


def check_pull(root: Path) -> None:
    """What is known here can be read, bit for bit; nothing that is here is damaged."""
    workspace = Workspace.open(root / "ben")
    assert whole(workspace) in ([], ["data@v1"], ["data@v2", "data@v1"])
    assert Remotes(workspace).verify(Verify()).damages == ()


def done_pull(root: Path) -> None:
    assert _files(root / "ben" / "data") == _files(root / "ada" / "data")


def _files(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


prepare_pull_shared, check_pull_shared, done_pull_shared = prepare_pull, check_pull, done_pull


def pull_shared(root: Path) -> None:
    """As before, but two processes make the files."""
    files.MANY, files._SHARED_BATCH = 1, 5
    late = time.monotonic() + 5
    while time.monotonic() < late:
        with contextlib.suppress(Busy):  # the helper of one that was killed has not ended yet
            pull(root)
            break


# ── the same out of a bucket; whatever is asked of it is a step as well ──


def prepare_pull_from_s3(root: Path) -> None:
    """Everything is in a bucket, which no pull changes, and Ben has the pointer."""
    prepare_push(root)
    place = json.loads(os.environ["TREADLE_TEST_BUCKET"])
    for name in ("ada", "ben"):
        toml = root / name / "treadle.toml"
        options = "".join(f'{key} = "{value}"\n' for key, value in place["options"].items())
        there = f'url = "{place["url"]}"\n[remotes.origin.options]\n{options}'
        toml.write_text(toml.read_text().replace('url = "../remote"\n', there))
    push(root)


def pull_from_s3(root: Path) -> None:
    import obstore

    for name in ("get", "head", "list"):
        setattr(obstore, name, _stepping(getattr(obstore, name)))
    pull(root)


check_pull_from_s3, done_pull_from_s3 = check_pull, done_pull
