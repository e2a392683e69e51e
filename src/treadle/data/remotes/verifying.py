"""Verifying: every version bit for bit, from its commit to each content, here or at a remote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from treadle.data.branches.commits import decode_commit
from treadle.data.branches.types import Commit
from treadle.data.needs import tables
from treadle.data.remotes.pace import Pace
from treadle.data.remotes.packs import MISSING, CheckedPack, check_pack
from treadle.data.remotes.transfer import Item, Mover
from treadle.data.remotes.types import Damage
from treadle.data.storage.contents import EMPTY, Contents
from treadle.data.tree.pages import decode_leaf
from treadle.data.tree.trees import read_root
from treadle.data.types import DatasetVersion
from treadle.kernel import progress
from treadle.kernel.blobs import BlobStore
from treadle.kernel.buckets import BucketObject, Buckets
from treadle.kernel.errors import CorruptData, NotFound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from treadle.data.tree.types import Entries

_DAMAGED = "what is kept is something else"


@dataclass
class Findings:
    """What was found so far.

    Attributes:
        files: How many files were looked at.
        blobs: How many blobs were read.
        bytes: How many bytes these have.
        external: How many files lie in buckets, of which only the ETag was looked at.
        elsewhere: How many files have contents that are on the other side only.
        damages: What is wrong, and which blob is to blame.
    """

    files: int = 0
    external: int = 0
    elsewhere: int = 0
    blobs: int = 0
    bytes: int = 0
    damages: list[tuple[Damage, str]] = field(default_factory=list)


class Verifier:
    """Verifies versions in a blob store; each blob is read once, however many versions need it.

    Args:
        blobs: The store.
        other: Where whole copies may be: the remote, or what is here; None if there is none.
        repair: Whether what is damaged or missing is replaced from there.
        partial: Whether contents may be on the other side only, as in a clone that fetched only some.
        pace: Holds back what is replaced.
        buckets: Those in which files lie that were never copied.
    """

    def __init__(
        self,
        blobs: BlobStore,
        other: BlobStore | None,
        pace: Pace,
        *,
        repair: bool,
        partial: bool,
        buckets: Buckets | None = None,
    ) -> None:
        self._buckets = buckets or Buckets()
        self._objects: dict[str, dict[BucketObject, str]] = {}
        self._blobs, self._other, self._repair, self._pace = blobs, other, repair, pace
        self._partial = partial
        self._problems: dict[str, str] = {}
        self._recipes: dict[str, str] = {}
        self._elsewhere: dict[str, bool] = {}
        self._packs: dict[str, CheckedPack] = {}
        self._found = Findings()

    def verify(self, versions: Iterable[DatasetVersion]) -> Findings:
        """Looks at versions, and mends what is wrong if that was asked for."""
        for version in versions:
            commit = self._commit(version)
            if commit is None or not self._pages(version, commit):
                continue
            try:
                self._files(version, commit)
            except (CorruptData, NotFound) as error:
                self._tell(version, "", commit.tree, str(error.message), commit.tree)
            self._tables(version)
        return self._mended()

    def _tables(self, version: DatasetVersion) -> None:
        told = {(one.version, one.digest) for one, _ in self._found.damages}
        for need in tables(version):
            problem = self._problem(need.digest)
            if not problem or (problem == MISSING and self._is_elsewhere(need.digest)):
                continue
            if (version.ref, need.digest) not in told:
                self._tell(version, need.what, need.digest, problem, need.digest)

    # ── a version ────────────────────────────────────────────────────────

    def _commit(self, version: DatasetVersion) -> Commit | None:
        problem = self._problem(version.commit_id, mend=True)
        if not problem:
            try:
                return decode_commit(self._blobs.get(version.commit_id), version.commit_id)
            except CorruptData as error:
                problem = error.message
        self._tell(version, "", version.commit_id, f"its commit: {problem}", version.commit_id)
        return None

    def _pages(self, version: DatasetVersion, commit: Commit) -> bool:
        whole = True
        for pack in commit.pages:
            problem = self._problem(pack.digest, mend=True)
            if problem:
                whole = False
                self._tell(version, "", pack.digest, f"the list of its files: {problem}", pack.digest)
        return whole

    def _files(self, version: DatasetVersion, commit: Commit) -> None:
        contents = Contents(self._blobs, (), commit.pages, None)
        packs = [self._pack(pack.digest) for pack in commit.packs]
        missing = [pack for pack in packs if pack.index is None]
        whole = Contents(
            self._blobs, [pack for pack in commit.packs if self._packs[pack.digest].index is not None]
        )
        for leaf in read_root(commit.tree, contents).digests:
            listed = decode_leaf(contents.page(leaf), leaf)
            self._found.files += len(listed)
            for row, problem, blame in self._bad(listed, packs, missing, whole):
                if problem == MISSING and self._is_elsewhere(blame):
                    self._found.elsewhere += 1
                else:
                    digest = listed.digests[row].tobytes().hex()
                    self._tell(version, listed.paths[row], digest, problem, blame)

    def _bad(
        self, listed: Entries, packs: Sequence[CheckedPack], missing: Sequence[CheckedPack], whole: Contents
    ) -> Iterator[tuple[int, str, str]]:
        """The rows of a leaf that aren't right, why, and which blob is to blame."""
        import numpy as np

        rows = np.flatnonzero(listed.sizes > 0)
        for pack in packs:
            found = pack.has(listed.digests[rows])
            for row in rows[found].tolist() if pack.bad else ():
                if listed.digests[row].tobytes() in pack.bad:
                    yield row, _DAMAGED, pack.digest
            if pack.externals:
                yield from self._elsewhere_still(listed, rows[found], pack)
            if pack.recipes:
                yield from self._made(listed, rows[found], pack, whole)
            rows = rows[~found]
        for row in rows.tolist():
            digest = listed.digests[row].tobytes().hex()
            problem = "" if digest == EMPTY else self._problem(digest)
            if problem == MISSING and missing:  # then it lies in a pack that can't be read
                yield row, missing[0].problem, missing[0].digest
            elif problem:
                yield row, problem, digest

    def _elsewhere_still(
        self, listed: Entries, rows: NDArray[np.int64], pack: CheckedPack
    ) -> Iterator[tuple[int, str, str]]:
        """Files that lie in buckets and are gone or were changed; nothing here is to blame for that."""
        if pack.digest not in self._objects:
            self._objects[pack.digest] = self._buckets.problems(pack.externals.values())
        for row in rows.tolist():
            one = pack.externals.get(listed.digests[row].tobytes())
            self._found.external += one is not None
            if one is not None and (problem := self._objects[pack.digest].get(one)):
                yield row, f"{problem} ({one.url})", ""

    def _made(
        self, listed: Entries, rows: NDArray[np.int64], pack: CheckedPack, whole: Contents
    ) -> Iterator[tuple[int, str, str]]:
        """Files that are made of chunks."""
        from blake3 import blake3

        for row in rows.tolist():
            digest = listed.digests[row].tobytes()
            if digest not in pack.recipes:
                continue
            name = digest.hex()
            if name not in self._recipes:
                self._recipes[name] = ""
                hasher = blake3()
                try:
                    for piece in whole.stream(name, int(listed.sizes[row])):
                        hasher.update(piece)
                    if hasher.digest() != digest:
                        self._recipes[name] = _DAMAGED
                except (CorruptData, NotFound) as error:
                    self._recipes[name] = f"a part of it: {error.message}"
            if self._recipes[name]:
                yield row, self._recipes[name], next(iter(self._bases(whole, name)), pack.digest)

    def _bases(self, whole: Contents, name: str) -> Iterator[str]:
        recipe = whole.recipe(name)
        yield from (base for base in (recipe.bases if recipe else ()) if self._problem(base))

    # ── blobs ────────────────────────────────────────────────────────────

    def _problem(self, digest: str, *, mend: bool = False) -> str:
        """What is wrong with a blob; empty if nothing is."""
        if digest not in self._problems:
            self._problems[digest] = self._read(digest)
        if self._problems[digest] and mend and self._repair and self._mend(digest):
            self._problems[digest] = ""
        return self._problems[digest]

    def _read(self, digest: str) -> str:
        self._found.blobs += 1
        size = 0
        try:
            for piece in self._blobs.stream(digest):
                size += len(piece)
        except NotFound:
            return MISSING
        except CorruptData:
            return _DAMAGED
        self._found.bytes += size
        progress.tell(1, size)
        return ""

    def _pack(self, digest: str) -> CheckedPack:
        if digest not in self._packs:
            found = check_pack(self._blobs, digest)
            self._packs[digest] = found
            self._problems[digest] = found.problem
            self._found.blobs += 1
            self._found.bytes += found.size
            progress.tell(1, found.size)
        return self._packs[digest]

    def _is_elsewhere(self, digest: str) -> bool:
        """Whether a blob that isn't here was only never brought."""
        if not self._partial or self._other is None:
            return False
        if digest not in self._elsewhere:
            self._elsewhere[digest] = self._other.has(digest)
        return self._elsewhere[digest]

    # ── mending ──────────────────────────────────────────────────────────

    def _tell(self, version: DatasetVersion, path: str, digest: str, problem: str, blame: str) -> None:
        damage = Damage(version=version.ref, path=path, digest=digest, problem=problem)
        self._found.damages.append((damage, blame))

    def _mend(self, digest: str) -> bool:
        """Replaces a blob from the other side; what was damaged is set aside, not trusted."""
        if self._other is None:
            return False
        try:
            size = self._other.size(digest)
        except NotFound:
            return False
        self._blobs.set_aside(digest)
        moved = Mover(self._other, self._blobs, self._pace).move(
            [Item(digest, f"blob {digest[:12]}", size)], again=True
        )
        return not moved.failed

    def _mended(self) -> Findings:
        from msgspec.structs import replace

        if self._repair:
            damaged = {blame for _, blame in self._found.damages if blame}
            damaged |= {pack.digest for pack in self._packs.values() if pack.problem not in ("", MISSING)}
            right = {blame for blame in sorted(damaged) if self._mend(blame)}
            self._found.damages = [
                (replace(damage, repaired=blame in right), blame) for damage, blame in self._found.damages
            ]
        return self._found
