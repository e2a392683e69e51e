"""Taking a lakeFS reference in: the commit at which it stands becomes a version, everything or nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import msgspec

from treadle.data import DatasetVersion, Entry, ImportVersion, Pack, Source
from treadle.interop.lakefs.server import LakefsCommit, LakefsObject, LakefsServer, Place
from treadle.interop.target import LARGE, Target, send
from treadle.interop.types import Trouble
from treadle.kernel.errors import InvalidInput

_BATCH_BYTES, _BATCH_FILES = 16 << 20, 2000
_AT_ONCE = 8
KIND = "lakefs"


class LakefsReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an import.

    Attributes:
        source: What was asked for, with the commit at which it stood.
        commit: That commit.
        version: The version here.
        added: Whether the version is new.
        troubles: What was left out.
    """

    source: str
    commit: str
    version: DatasetVersion
    added: bool
    troubles: list[Trouble]


def import_lakefs(
    server: LakefsServer,
    place: Place,
    target: Target,
    dataset: str,
    *,
    branch: str = "main",
    progress: Callable[[str], None] = lambda _: None,
) -> LakefsReport:
    """Makes a version of what a reference of a lakeFS server holds now, or finds the one made before.

    A branch may move meanwhile: everything is read of the commit at which it stood first.

    Args:
        server: The server, which is only read.
        place: What of it.
        target: Where it goes.
        dataset: What it is called here.
        branch: The branch that moves.
        progress: Called with what was done last.

    Raises:
        NotFound: If there is no such reference, or nothing in it.
        InvalidInput: If a path can't be one here; no version was made.
        CorruptData: If what came isn't what the server told of it; no version was made.
        Refused: If the keys are not accepted.
        Unavailable: If a server doesn't answer; no version was made.
        Conflict: If the branch is protected, or moved meanwhile.
    """
    commit = server.commit(place)
    identity = Source(KIND, f"{KIND}://{place.repository}/{commit.id}/{place.prefix}", server.name)
    if any(one.dataset == dataset for one in target.datasets()):
        for version in target.data_log(dataset):
            if identity in version.origin and version.deleted_at is None:
                return LakefsReport(
                    source=identity.id, commit=commit.id, version=version, added=False, troubles=[]
                )
    taker = _Taker(server, place, commit.id, target, dataset, branch, progress)
    for one in server.objects(place, commit.id):
        taker.take(one)
    taker.finish()
    listing = target.put_pieces(iter([msgspec.json.encode(taker.entries)]))
    version = target.import_version(_version(dataset, branch, listing, taker.packs, identity, commit))
    return LakefsReport(
        source=identity.id, commit=commit.id, version=version, added=True, troubles=taker.troubles
    )


def _version(
    dataset: str, branch: str, listing: str, packs: dict[str, Pack], identity: Source, commit: LakefsCommit
) -> ImportVersion:
    return ImportVersion(
        dataset=dataset,
        branch=branch,
        listing=listing,
        packs=tuple(packs.values()),
        identity=identity,
        message=commit.message,
        actor=commit.committer or KIND,
        at=datetime.fromtimestamp(commit.creation_date, UTC) if commit.creation_date else None,
    )


class _Taker:
    """Reads objects and sends their bytes on: small ones several at once, large ones one by one."""

    def __init__(
        self,
        server: LakefsServer,
        place: Place,
        commit: str,
        target: Target,
        dataset: str,
        branch: str,
        progress: Callable[[str], None],
    ) -> None:
        self._server, self._place, self._commit = server, place, commit
        self._target, self._dataset, self._branch = target, dataset, branch
        self._progress = progress
        self._waiting: list[LakefsObject] = []
        self._size = 0
        self.entries: list[Entry] = []
        self.packs: dict[str, Pack] = {}
        self.troubles: list[Trouble] = []

    def take(self, one: LakefsObject) -> None:
        """Takes an object, at once or with the next ones."""
        if one.path.endswith("/"):
            if one.size_bytes:
                raise InvalidInput("an object whose path ends in / can't be a file here", where=one.path)
            self.troubles.append(Trouble(one.path, "a marker of a folder, which isn't needed here"))
        elif one.size_bytes >= LARGE:
            digest = self._target.put_pieces(self._server.read(self._place, self._commit, one))
            self._add(one, digest)
            self._progress(one.path)
        else:
            self._waiting.append(one)
            self._size += one.size_bytes
            if self._size >= _BATCH_BYTES or len(self._waiting) >= _BATCH_FILES:
                self.finish()

    def finish(self) -> None:
        """Takes what waits."""
        if not self._waiting:
            return
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="lakefs-import") as pool:
            contents = list(pool.map(self._read, self._waiting))
        sent = send(self._target, self._dataset, contents, self._branch)
        self.packs.update((pack.digest, pack) for pack in sent.packs)
        for one, digest in zip(self._waiting, sent.digests, strict=True):
            self._add(one, digest)
        self._progress(f"{len(self.entries):,} objects")
        self._waiting, self._size = [], 0

    def _read(self, one: LakefsObject) -> bytes:
        return b"".join(self._server.read(self._place, self._commit, one))

    def _add(self, one: LakefsObject, digest: str) -> None:
        path = one.path.removeprefix(self._place.prefix)
        self.entries.append(Entry(path, one.size_bytes, digest))
