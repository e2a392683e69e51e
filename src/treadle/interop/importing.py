"""Taking a whole store in: what was taken in before is passed over, and at the end all is counted again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from treadle.experiment import (
    Check,
    Checked,
    Curve,
    CurveCopy,
    ExperimentCopy,
    Hasher,
    Imported,
    ImportedRuns,
    ImportModel,
    ImportRun,
    LoggedModel,
    RunCopy,
    Tally,
    model_tally,
    pack_curve,
)
from treadle.experiment.types import Artifact, Experiment
from treadle.interop import wording
from treadle.interop.types import Source, SourceFile, Tell, Trouble
from treadle.kernel.errors import CorruptData, Refused, StorageError, StorageFull, TreadleError, Unavailable
from treadle.kernel.ids import new_digest
from treadle.registry import CatalogModel, CatalogVersion, ImportCatalogModel

_INLINE = 8 << 20
_PIECE = 1 << 18
_RUNS_AT_ONCE = 100
_CHECKED_AT_ONCE, _READ_AT_ONCE = 200, 64 << 20
WORDS = {"models": "links to models"}
"""How a tally's parts are called where that isn't by their names."""


class Target(Protocol):
    """Takes copies in; a :class:`treadle.client.Client` does."""

    def imported(self, source: str) -> Iterator[Imported]:
        """What came from a source."""

    def import_experiment(self, copy: ExperimentCopy) -> Experiment:
        """The experiment that another server's becomes."""

    def import_runs(self, new: Sequence[ImportRun]) -> ImportedRuns:
        """Takes runs in: of each everything or nothing."""

    def import_logged_model(self, new: ImportModel) -> Imported:
        """Takes a logged model in: everything or nothing."""

    def import_registered_model(self, new: ImportCatalogModel) -> CatalogModel:
        """Takes a registered model in: everything or nothing."""

    def check_imported(self, asked: Check) -> list[Checked]:
        """Counts what is kept, and has the bytes of files read again."""

    def put_pieces(self, pieces: Iterator[bytes]) -> str:
        """Keeps bytes that come piece by piece; returns their digest."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a report: something counted on both sides.

    Attributes:
        what: What is counted.
        there: How many there are in the source.
        here: How many of those are kept here.
    """

    what: str
    there: int
    here: int


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an import.

    Attributes:
        source: Where from.
        lines: What is there, and what is here.
        added: Runs that are new here.
        before: Runs that had been taken in before.
        differing: Runs and logged models that are not here as they were read.
        troubles: What could not be read or taken in.
    """

    source: str
    lines: list[Line]
    added: int
    before: int
    differing: list[str]
    troubles: list[Trouble]


class Importer:
    """Takes a store in.

    Args:
        source: What is read.
        target: Where it goes.
        troubles: What the source tells of is added here, and what the target refuses.
        progress: Called with what was done last, after each run and model.
        files: Whether files are taken in.
        at_once: So many runs are sent together.
    """

    def __init__(
        self,
        source: Source,
        target: Target,
        troubles: list[Trouble],
        progress: Callable[[str], None] = lambda _: None,
        *,
        files: bool = True,
        at_once: int = _RUNS_AT_ONCE,
    ) -> None:
        self._source = source
        self._target = target
        self._troubles = troubles
        self._progress = progress
        self._files = files
        self._at_once = at_once
        self._waiting: list[ImportRun] = []
        self._tallies: dict[str, Tally] = {}
        self._size = 0
        self._done: dict[str, Imported] = {}
        self._homes: dict[str, str] = {}
        self._seen: dict[str, Imported] = {}
        self._owners: dict[str, str] = {}
        self._counts = {name: [0, 0] for name in ("experiments", "registered models", "versions", "aliases")}
        self._found = {"runs": 0, "logged models": 0}
        self._added = self._before = 0

    @property
    def tell(self) -> Tell:
        """Takes note of what could not be read."""
        return self._troubles.append

    def run(self, *, verify: bool = True) -> ImportReport:
        """Takes everything in, then counts again what is here.

        Args:
            verify: Whether what is here is counted again and the bytes of files are read again.

        Raises:
            Unavailable: If the source or the server doesn't answer; running again goes on.
            StorageError: If the source, the blob store or the database fails.
        """
        self._done = {one.id: one for one in self._target.imported(self._source.name)}
        for experiment in self._source.experiments():
            self._experiment(experiment)
        self._send()
        for registered in self._source.registered_models():
            self._registered(registered)
        return self._report(verify=verify)

    # ── experiments ──────────────────────────────────────────────────────

    def _experiment(self, copy: ExperimentCopy) -> None:
        self._counts["experiments"][0] += 1
        try:
            self._homes[copy.id] = self._target.import_experiment(copy).id
        except TreadleError as error:
            self._refused(f"experiment {copy.name!r}", error)
            return
        self._counts["experiments"][1] += 1
        for model in self._source.logged_models(copy.id):
            self._found["logged models"] += 1
            self._logged_model(model, copy.id)
        for head in self._source.heads(copy.id):
            self._found["runs"] += 1
            known = self._done.get(head.id)
            if known is not None and known.whole and head.stamp and known.stamp == head.stamp:
                self._seen[head.id] = known
                self._owners[head.id] = self._homes[copy.id]
                self._before += 1
                continue
            self._one_run(head.id, head.stamp, copy.id)

    def _refused(self, where: str, error: TreadleError) -> None:
        if isinstance(error, Unavailable | StorageError | StorageFull | Refused):
            raise error
        self.tell(Trouble(where, error.message))

    # ── runs ─────────────────────────────────────────────────────────────

    def _one_run(self, run: str, stamp: str, experiment: str) -> None:
        before = len(self._troubles)
        copy = self._source.run(run)
        if copy is None:
            return
        try:
            files, whole = self._taken(run, self._source.files(run) if self._files else ())
            copy = msgspec.structs.replace(copy, experiment=self._homes[experiment], files=files)
            inline, blobs, tally = self._curves(copy)
            clean = whole and self._files and len(self._troubles) == before
        except TreadleError as error:
            self._refused(f"run {run}", error)
            return
        new = ImportRun(
            source=self._source.name, stamp=stamp, run=copy, curves=inline, blobs=blobs, whole=clean
        )
        size = 3 * sum(len(curve.values) for curve in inline) + _size_of(copy)
        if self._size + size > _INLINE:
            self._send()
        self._waiting.append(new)
        self._tallies[run] = tally
        self._size += size
        if len(self._waiting) >= self._at_once:
            self._send()

    def _send(self) -> None:
        """Sends the runs that were read and wait."""
        if not self._waiting:
            return
        homes = {new.run.id: new.run.experiment for new in self._waiting}
        found = self._target.import_runs(self._waiting)
        for refused in found.refused:
            self.tell(Trouble(f"run {refused.id}", refused.reason))
        for done in found.done:
            self._keep(done, self._tallies[done.id], homes[done.id])
        self._waiting, self._tallies, self._size = [], {}, 0

    def _keep(self, done: Imported, tally: Tally, home: str) -> None:
        self._owners[done.id] = home
        self._seen[done.id] = msgspec.structs.replace(done, tally=tally)
        self._added += done.added and done.kind == "run"
        self._before += not done.added and done.kind == "run"
        self._progress(f"{done.kind} {done.id}")

    def _curves(self, copy: RunCopy) -> tuple[list[CurveCopy], list[str], Tally]:
        """A run's curves: with the run as long as they are short, in blobs ahead of it otherwise."""
        hasher, inline, blobs, size = Hasher(), [], [], 0
        for name, curve in self._source.curves(copy.id):
            hasher.add(name, curve)
            for piece in _pieces(curve):
                inline.append(pack_curve(name, piece))
                size += 24 * len(piece)
                if size >= _INLINE:
                    blobs.append(self._target.put_pieces(iter([msgspec.json.encode(inline)])))
                    inline, size = [], 0
        return inline, blobs, hasher.tally(copy)

    def _taken(self, owner: str, files: Iterable[SourceFile] | None) -> tuple[tuple[Artifact, ...], bool]:
        """Files whose bytes were taken in, and whether all were."""
        found, whole = [], files is not None
        for file in files or ():
            try:
                found.append(self._put(file))
            except (CorruptData, Unavailable, StorageError) as error:
                if isinstance(error, StorageFull):
                    raise
                self.tell(Trouble(f"{owner}: {file.path}", error.message))
                whole = False
        return tuple(found), whole

    def _put(self, file: SourceFile) -> Artifact:
        """Takes a file's bytes in.

        Raises:
            CorruptData: If it has another size than its store says, or arrived as something else.
        """
        hasher, size = new_digest(), 0

        def pieces() -> Iterator[bytes]:
            nonlocal size
            for piece in file.read():
                hasher.update(piece)
                size += len(piece)
                yield piece

        digest = self._target.put_pieces(pieces())
        if digest != hasher.hexdigest():
            raise CorruptData("the file arrived as something else", where=file.path, fix="import again")
        if file.size is not None and file.size != size:
            raise CorruptData(f"the file has {size:,} bytes, and {file.size:,} by its store", where=file.path)
        return Artifact(file.path, digest, size)

    # ── models ───────────────────────────────────────────────────────────

    def _logged_model(self, model: LoggedModel, experiment: str) -> None:
        known = self._done.get(model.id)
        stamp = f"{model.status} {model.lifecycle} {wording.to_ms(model.updated_at)} {len(model.metrics)}"
        if known is not None and known.whole and known.stamp == stamp:
            self._seen[model.id] = known
            self._owners[model.id] = self._homes[experiment]
            return
        before = len(self._troubles)
        try:
            files, whole = self._taken(model.id, self._source.model_files(model) if self._files else ())
            home = self._homes[experiment]
            copy = msgspec.structs.replace(model, experiment=home, artifacts="")
            clean = whole and self._files and len(self._troubles) == before
            done = self._target.import_logged_model(
                ImportModel(source=self._source.name, stamp=stamp, model=copy, files=files, whole=clean)
            )
        except TreadleError as error:
            self._refused(f"logged model {model.id}", error)
            return
        self._keep(done, model_tally(copy, files), home)

    def _registered(self, copy: ImportCatalogModel) -> None:
        name = copy.model.name
        versions = tuple(self._moved(one) for one in copy.versions)
        for key, count in (
            ("registered models", 1),
            ("versions", len(versions)),
            ("aliases", len(copy.model.aliases)),
        ):
            self._counts[key][0] += count
        usable = tuple(one for one in versions if one is not None)
        numbers = {one.number for one in usable}
        aliases = {alias: number for alias, number in copy.model.aliases.items() if number in numbers}
        model = msgspec.structs.replace(copy.model, aliases=aliases)
        try:
            found = self._target.import_registered_model(ImportCatalogModel(model=model, versions=usable))
        except TreadleError as error:
            self._refused(f"registered model {name!r}", error)
            return
        kept = [alias for alias, number in aliases.items() if found.aliases.get(alias) == number]
        for key, count in (("registered models", 1), ("versions", len(usable)), ("aliases", len(kept))):
            self._counts[key][1] += count
        self._progress(f"registered model {name}")

    def _moved(self, version: CatalogVersion) -> CatalogVersion | None:
        """The version with its files where they are here; None if they were on the other's disk only."""
        source, storage = self._here(version.source), self._here(version.storage)
        if source is None or storage is None:
            self.tell(
                Trouble(
                    f"{version.model}/{version.number}",
                    f"its source is not among the files of a run or a logged model: {version.source}",
                )
            )
            return None
        return msgspec.structs.replace(version, source=source, storage=storage)

    def _here(self, uri: str) -> str | None:
        """Where the files of a URI are here; the URI itself if it is no path of another machine."""
        whose = wording.owned(uri)
        if whose is not None and whose[1] in self._seen:
            kind, identity, path = whose
            folder = f"models/{identity}" if kind == "model" else identity
            return f"mlflow-artifacts:/{self._owners[identity]}/{folder}/artifacts" + (
                f"/{path}" if path else ""
            )
        scheme = uri.partition(":")[0].lower() if ":" in uri else ""
        return None if scheme in {"", "file", "mlflow-artifacts"} or len(scheme) == 1 else uri

    # ── the report ───────────────────────────────────────────────────────

    def _report(self, *, verify: bool) -> ImportReport:
        here, differing = self._checked() if verify else (self._seen, [])
        lines = [Line(what=what, there=there, here=here_) for what, (there, here_) in self._counts.items()]
        for what, kind in (("runs", "run"), ("logged models", "model")):
            kept = sum(one.kind == kind for one in here.values())
            lines.insert(1, Line(what=what, there=self._found[what], here=kept))
        for name in Tally.__struct_fields__:
            if name != "digest":
                there = sum(getattr(one.tally, name) for one in self._seen.values())
                lines.append(
                    Line(
                        what=WORDS.get(name, name),
                        there=there,
                        here=sum(getattr(o.tally, name) for o in here.values()),
                    )
                )
        return ImportReport(
            source=self._source.name,
            lines=lines,
            added=self._added,
            before=self._before,
            differing=differing,
            troubles=list(self._troubles),
        )

    def _checked(self) -> tuple[dict[str, Imported], list[str]]:
        """What is here now, and what of it isn't as it was read."""
        here: dict[str, Imported] = {}
        differing: list[str] = []
        checked = 0
        for piece in _in_groups(self._seen.values()):
            runs = [one.id for one in piece if one.kind == "run"]
            models = [one.id for one in piece if one.kind == "model"]
            for found in self._target.check_imported(Check(runs=runs, models=models)):
                read = self._seen[found.id]
                if found.tally is not None:
                    here[found.id] = msgspec.structs.replace(read, tally=found.tally)
                if found.tally is None or found.broken or found.tally.digest != read.tally.digest:
                    differing.append(f"{found.kind} {found.id}")
            checked += len(piece)
            self._progress(f"checked {checked} of {len(self._seen)}")
        return here, differing


def _in_groups(every: Iterable[Imported]) -> Iterator[list[Imported]]:
    """As many as are checked by one request, within the time that one may take."""
    group: list[Imported] = []
    size = 0
    for one in every:
        weight = one.tally.bytes + 24 * one.tally.points
        if group and (len(group) >= _CHECKED_AT_ONCE or size + weight > _READ_AT_ONCE):
            yield group
            group, size = [], 0
        group.append(one)
        size += weight
    if group:
        yield group


def _size_of(copy: RunCopy) -> int:
    """About so many bytes travel of a run beside its curves."""
    texts = (*copy.params.values(), *copy.tags.values())
    used = sum(len(one.source) + len(one.schema or "") + len(one.profile or "") for one in copy.inputs)
    return sum(map(len, texts)) + used + 200 * (len(copy.files) + len(texts) + 1)


def _pieces(curve: Curve) -> Iterator[Curve]:
    for start in range(0, len(curve), _PIECE):
        yield curve.take(slice(start, start + _PIECE))
