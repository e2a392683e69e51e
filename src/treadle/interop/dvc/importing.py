"""Taking a DVC repository in: each output a dataset, each change of it a version."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from treadle.data import DatasetVersion, Entry, ImportVersion, Mode, Pack, Source
from treadle.interop.dvc.repository import Repository
from treadle.interop.dvc.types import GitCommit, Member, Output
from treadle.interop.target import LARGE, Target, send
from treadle.interop.types import Trouble
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, NotFound

_BATCH_BYTES, _BATCH_FILES = 32 << 20, 20_000
KIND = "dvc"


class TakenOutput(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one output.

    Attributes:
        path: Where it lies in the DVC repository.
        dataset: What it is called here.
        ref: Its newest version here; empty if there is none.
        added: How many versions are new.
        before: How many had been taken in before.
        files: How many files the newest version has.
        bytes: How many bytes they have.
    """

    path: str
    dataset: str
    ref: str = ""
    added: int = 0
    before: int = 0
    files: int = 0
    bytes: int = 0


class DvcReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an import.

    Attributes:
        repository: Where from.
        outputs: Each output, by path.
        troubles: What could not be read or taken in.
    """

    repository: str
    outputs: list[TakenOutput]
    troubles: list[Trouble]


class _Known(NamedTuple):
    """A content that is kept: its digest, size, and the pack that was written for it, if one was."""

    digest: str
    size: int
    packs: tuple[Pack, ...]


class _Event(NamedTuple):
    """An output as it was from a commit on; no commit if Git has it only in the working folder."""

    output: Output
    commit: GitCommit | None

    @property
    def identity(self) -> Source:
        since = self.commit.id if self.commit else "uncommitted"
        return Source(KIND, f"{self.output.path}@{since}", self.output.object)


class DvcImporter:
    """Takes a DVC repository in.

    Args:
        repository: What is read.
        target: Where it goes.
        progress: Called with what was done last.
        prefix: What the names of all datasets begin with.
    """

    def __init__(
        self,
        repository: Repository,
        target: Target,
        progress: Callable[[str], None] = lambda _: None,
        prefix: str = "",
    ) -> None:
        self._repository = repository
        self._target = target
        self._progress = progress
        self._prefix = prefix
        self._known: dict[tuple[str, bool], _Known] = {}
        self._troubles: list[Trouble] = []

    def run(self, *, history: bool = False, only: Sequence[str] = ()) -> DvcReport:
        """Takes in what the working folder's pointers name, or each version that Git remembers.

        Every pointer is read before anything is written. What was taken in before is passed over.

        Args:
            history: Whether each commit that changed an output becomes a version.
            only: Only these outputs; all when empty.

        Raises:
            InvalidInput: If a pointer can't be used; nothing was taken in.
            NotFound: If one of ``only`` isn't tracked.
            Conflict: If older versions would come after newer ones.
            Unavailable: If the server doesn't answer; running again goes on.
            StorageError: If a store can't be read or written.
        """
        here = self._repository.outputs()
        wanted: dict[str, list[_Event]] = {one.path: [] for one in here}
        if history:
            for commit, output in self._repository.history(self._broken):
                wanted.setdefault(output.path, []).append(_Event(output, commit))
        for one in here:
            if not history or not any(event.output.object == one.object for event in wanted[one.path][-1:]):
                wanted[one.path].append(_Event(one, self._repository.last_change(one)))
        for path in only:
            if path not in wanted:
                raise NotFound(
                    f"DVC tracks no output {path!r}",
                    where=str(self._repository.root),
                    fix=f"it tracks: {', '.join(sorted(wanted)[:12])}",
                )
        names = dataset_names(wanted, self._prefix)
        known = {version.dataset for version in self._target.datasets()}
        outputs = [
            self._output(path, names[path], wanted[path], known=names[path] in known)
            for path in sorted(wanted)
            if not only or path in only
        ]
        return DvcReport(
            repository=str(self._repository.root), outputs=outputs, troubles=list(self._troubles)
        )

    def _broken(self, commit: GitCommit, error: InvalidInput) -> None:
        self._troubles.append(Trouble(f"commit {commit.id[:12]}: {error.where}", error.message))

    # ── one output ───────────────────────────────────────────────────────

    def _output(self, path: str, dataset: str, events: list[_Event], *, known: bool) -> TakenOutput:
        versions = self._target.data_log(dataset) if known else []
        taken = {source for version in versions for source in version.origin if source.kind == KIND}
        head = next((one for one in versions if one.deleted_at is None), None)
        done = [event.identity in taken or _is_head(event, head) for event in events]
        if False in done and True in done[done.index(False) :]:
            late = events[done.index(False)]
            since = late.commit.id[:12] if late.commit else "uncommitted"
            raise Conflict(
                f"{path!r} of commit {since} is older than what {dataset!r} has already",
                where=dataset,
                fix="take the history into datasets of their own: --prefix NAME-",
            )
        added = 0
        for event, before in zip(events, done, strict=True):
            if before:
                continue
            try:
                head = self._version(dataset, event)
                added += 1
            except (NotFound, CorruptData, InvalidInput) as error:
                since = f"commit {event.commit.id[:12]}: " if event.commit else ""
                fix = f" ({error.fix})" if error.fix else ""
                self._troubles.append(Trouble(f"{since}{error.where or path}", f"{error.message}{fix}"))
        return TakenOutput(
            path=path,
            dataset=dataset,
            ref=head.ref if head else "",
            added=added,
            before=sum(done),
            files=head.count if head else 0,
            bytes=head.bytes if head else 0,
        )

    def _version(self, dataset: str, event: _Event) -> DatasetVersion:
        output, commit = event
        members = self._repository.members(output)
        entries, packs = self._contents(dataset, output, members)
        if output.size is not None and output.size != sum(one.size for one in entries):
            raise InvalidInput(
                f"it says {output.size:,} bytes, and the files have {sum(one.size for one in entries):,}",
                where=f"{output.where}.size",
                fix="restore the pointer from Git, or let DVC write it again: dvc commit",
            )
        try:
            version = self._take(dataset, event, entries, packs)
        except NotFound:  # what was sent before isn't kept any more
            self._known.clear()
            version = self._take(dataset, event, *self._contents(dataset, output, members))
        self._progress(f"{version.ref}: {output.path}" + (f" of {commit.id[:12]}" if commit else ""))
        return version

    def _take(
        self, dataset: str, event: _Event, entries: list[Entry], packs: tuple[Pack, ...]
    ) -> DatasetVersion:
        output, commit = event
        listing = self._target.put_pieces(iter([msgspec.json.encode(entries)]))
        origin = (Source("git", commit.id, commit.message.partition("\n")[0]),) if commit else ()
        return self._target.import_version(
            ImportVersion(
                dataset=dataset,
                listing=listing,
                packs=packs,
                identity=event.identity,
                origin=(*origin, *output.made_of),
                message=commit.message if commit else "",
                actor=commit.author if commit else "dvc",
                at=commit.at if commit else None,
            )
        )

    # ── contents ─────────────────────────────────────────────────────────

    def _contents(
        self, dataset: str, output: Output, members: list[Member]
    ) -> tuple[list[Entry], tuple[Pack, ...]]:
        """An output's files, whose bytes are kept then, and the packs that were written for them."""
        batch: dict[tuple[str, bool], bytes] = {}
        size = 0
        for member in members:
            key = (member.md5, output.legacy)
            if key in self._known or key in batch:
                continue
            pieces = self._repository.read(output, member)
            first = next(pieces, b"")
            if len(first) >= LARGE:
                self._known[key] = self._large(first, pieces)
                self._progress(member.path)
                continue
            for _ in pieces:  # to its end, where it is checked
                raise CorruptData(
                    "the object changed while it was read", where=f"{output.path}/{member.path}"
                )
            batch[key] = first
            size += len(first)
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
                self._send(dataset, batch)
                batch, size = {}, 0
        self._send(dataset, batch)
        mode = Mode.EXECUTABLE if output.executable and not output.folder else Mode.FILE
        found = [(member.path, self._known[member.md5, output.legacy]) for member in members]
        packs = {pack.digest: pack for _, known in found for pack in known.packs}
        return [Entry(path, known.size, known.digest, mode) for path, known in found], tuple(packs.values())

    def _large(self, first: bytes, rest: Iterator[bytes]) -> _Known:
        size = len(first)

        def pieces() -> Iterator[bytes]:
            nonlocal size
            yield first
            for piece in rest:
                size += len(piece)
                yield piece

        digest = self._target.put_pieces(pieces())
        return _Known(digest, size, ())

    def _send(self, dataset: str, batch: dict[tuple[str, bool], bytes]) -> None:
        if not batch:
            return
        contents = list(batch.values())
        sent = send(self._target, dataset, contents)
        for key, data, digest in zip(batch, contents, sent.digests, strict=True):
            self._known[key] = _Known(digest, len(data), sent.packs if data else ())
        self._progress(f"{len(batch):,} files")


def _is_head(event: _Event, head: DatasetVersion | None) -> bool:
    """Whether the newest version is that output with that content, whichever commit it came from."""
    return head is not None and any(
        source.kind == KIND
        and source.detail == event.output.object
        and source.id.rpartition("@")[0] == event.output.path
        and (event.commit is None or source.id.endswith("@uncommitted"))
        for source in head.origin
    )


def dataset_names(paths: Sequence[str] | dict[str, list[_Event]], prefix: str = "") -> dict[str, str]:
    """What datasets are called: the output's path with dashes, and a hash where that would be ambiguous.

    Raises:
        InvalidInput: If the prefix can't begin a name.
    """
    if prefix and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", prefix):
        raise InvalidInput(
            f"{prefix!r} can't begin the name of a dataset", fix="use letters, digits, '.', '_' and '-'"
        )
    plain = {path: re.sub(r"[^A-Za-z0-9._-]", "_", path.replace("/", "-")) for path in paths}
    often = [name.lower() for name in plain.values()]
    found = {}
    for path, simple in plain.items():
        name = simple
        clear = name == path.replace("/", "-") and name[0].isalnum() and len(name) <= 50
        if not clear or often.count(name.lower()) > 1:
            name = f"{re.sub(r'^[^A-Za-z0-9]+', '', name)[:40] or 'data'}-{_short(path)}"
        found[path] = prefix + name
    return found


def _short(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:6]
