"""Taking in runs and logged models of other servers: each whole or not at all, and each once."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from treadle.experiment import layout, limits, logged_store, rules, store, transfer
from treadle.experiment.imported_runs import Ready, add_runs, kept_tallies, lock_runs
from treadle.experiment.logged_types import LoggedModel
from treadle.experiment.tables import artifacts, experiments, imports
from treadle.experiment.transfer_types import (
    Check,
    Checked,
    CopyKind,
    CurveCopy,
    ExperimentCopy,
    Imported,
    ImportedRuns,
    ImportModel,
    ImportRun,
    ImportRuns,
    NotImported,
    RunCopy,
    Tally,
)
from treadle.experiment.types import DEFAULT, DEFAULT_ID, Artifact, Experiment
from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import AlreadyExists, InvalidInput, NotFound, TreadleError
from treadle.kernel.workspace import Workspace

MOST = 10_000
_NOTED = ("kind", "id", "source", "stamp", "whole", "tally")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LONGEST_NUMBER = 18


class Imports:
    """What was copied into a workspace from other tracking servers.

    Args:
        workspace: Where it is kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._database = workspace.database
        self._blobs = workspace.blobs
        self._clock = SystemClock()

    def done(self, source: str, after: str = "", limit: int = MOST) -> list[Imported]:
        """What came from a source, by its identifier.

        Args:
            source: As it was named when it was imported.
            after: Where the page before ended.
            limit: The most to return.
        """
        query = sa.select(imports).where(imports.c.source == source, imports.c.id > after)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(imports.c.id).limit(limit)).mappings().all()
        return [Imported(**{k: v for k, v in row.items() if k != "at"}) for row in rows]

    def experiment(self, copy: ExperimentCopy) -> Experiment:
        """The experiment that another server's becomes: the one of that name, or a new one.

        One that is here keeps what it has; only tags that it lacks are added.

        Raises:
            InvalidInput: If its name or a tag can't be used.
        """
        limits.check_experiment_name(copy.name)
        for key, value in copy.tags.items():
            limits.check_experiment_tag(key, value)
        while True:
            with self._database.write() as connection:
                known = _known_experiment(connection, copy, lock=True)
                if known is not None:
                    both = copy.tags | known.tags
                    if both != known.tags:
                        known = msgspec.structs.replace(known, tags=both)
                        store.update_experiment(connection, known)
                    return known
                store.lock_experiments(connection)
                if _known_experiment(connection, copy) is None:  # else somebody else has just made it
                    return self._add_experiment(connection, copy)

    def _add_experiment(self, connection: sa.Connection, copy: ExperimentCopy) -> Experiment:
        now = self._clock.now()
        number = copy.id
        plain = number.isascii() and number.isdigit() and str(int(number)) == number
        if plain and len(number) <= _LONGEST_NUMBER and store.find_experiment(connection, number) is None:
            made = Experiment(
                id=number,
                name=copy.name,
                created_at=now,
                updated_at=now,
                artifacts=store.artifact_root(number),
            )
            connection.execute(experiments.insert().values(msgspec.structs.asdict(made)))
        else:
            made = store.add_experiment(connection, copy.name, now, {})
        made = msgspec.structs.replace(
            made,
            lifecycle=copy.lifecycle,
            created_at=copy.created_at,
            updated_at=copy.updated_at,
            tags=dict(copy.tags),
            deleted_at=now if copy.lifecycle == "deleted" else None,
        )
        store.update_experiment(connection, made)
        return made

    # ── runs ─────────────────────────────────────────────────────────────

    def runs(self, new: ImportRuns) -> ImportedRuns:
        """Takes runs in, in one transaction: of each everything or nothing.

        A run that is here already and the same is left as it is. One that came from the same
        source without all of its files is given those that it lacks. A run is refused, and the
        others go on, if its experiment or the bytes of a file aren't here, if another run has its
        identifier, or if something of it can't be used.

        Raises:
            InvalidInput: If it is over 1,000 runs.
            StorageError: If the database can't be written; then none was taken in.
        """
        if len(new.runs) > limits.ENTITIES_AT_ONCE:
            raise InvalidInput(f"up to {limits.ENTITIES_AT_ONCE:,} runs can be taken in at once")
        ready: list[Ready] = []
        refused: list[NotImported] = []
        for one in new.runs:
            try:
                ready.append(self._ready(one))
            except (InvalidInput, NotFound) as error:
                refused.append(NotImported(one.run.id, error.code, error.message))
        done, more = self._written(ready)
        return ImportedRuns(done=done, refused=refused + more)

    def _ready(self, new: ImportRun) -> Ready:
        """A run whose parts were looked at."""
        _check_run(new.run)
        _check_files(new.run.files)
        self._check_bytes(new.run.files)
        found = transfer.unpack([*new.curves, *self._more(new.blobs)])
        for name in found:
            limits.check_key("metric", name)
        return Ready(new, found, transfer.run_tally(new.run, found))

    def _written(
        self, ready: Sequence[Ready], *, again: bool = False
    ) -> tuple[list[Imported], list[NotImported]]:
        if not ready:
            return [], []
        try:
            with self._database.write() as connection:
                return self._write(connection, ready)
        except InvalidInput as error:  # a value that no row can have
            if len(ready) == 1:
                return [], [NotImported(ready[0].new.run.id, error.code, error.message)]
        except sa.exc.IntegrityError:  # a run that came twice, or from another import at this moment
            if len(ready) == 1:
                if again:
                    raise
                return self._written(ready, again=True)
        pairs = [self._written([one]) for one in ready]
        return [one for done, _ in pairs for one in done], [one for _, refused in pairs for one in refused]

    def _write(
        self, connection: sa.Connection, ready: Sequence[Ready]
    ) -> tuple[list[Imported], list[NotImported]]:
        homes = store.experiment_names(connection, {one.new.run.experiment for one in ready})
        known = lock_runs(connection, [one.new.run.id for one in ready])
        kept = kept_tallies(connection, known)
        fresh: list[Ready] = []
        done: list[Imported] = []
        refused: list[NotImported] = []
        for one in ready:
            run = one.new.run
            if run.experiment not in homes:
                reason = f"there is no experiment with id {run.experiment!r}"
                refused.append(NotImported(run.id, NotFound.code, reason))
                continue
            if run.id in known:
                source = one.new.source
                try:
                    self._settle(connection, source, "run", run.id, run.files, one.tally, kept[run.id])
                except AlreadyExists as error:
                    refused.append(NotImported(run.id, error.code, error.message))
                    continue
            else:
                fresh.append(one)
            done.append(_noted("run", one.new, run.id, one.tally, added=run.id not in known))
        now = self._clock.now()
        add_runs(connection, fresh, now)
        for one in fresh:
            self._put_files(connection, one.new.run.id, one.new.run.files)
        self._note(connection, done)
        return done, refused

    # ── logged models ────────────────────────────────────────────────────

    def model(self, new: ImportModel) -> Imported:
        """Takes a logged model in with all that belongs to it: everything or nothing; as :meth:`run`.

        Raises:
            NotFound: If its experiment or the bytes of a file aren't here.
            AlreadyExists: If another logged model has its identifier.
            InvalidInput: If something can't be used.
        """
        limits.check_run_id(new.model.id)
        if not new.model.id.startswith("m-"):
            raise InvalidInput(f"{new.model.id!r} can't be the identifier of a logged model")
        for name in (*new.model.params, *new.model.tags):
            if not name or len(name) > limits.KEY_LENGTH:
                raise InvalidInput(
                    f"{name!r:.80} can't be the name of a parameter or tag", where=new.model.id
                )
        _check_texts(new.model)
        _check_files(new.files)
        self._check_bytes(new.files)
        try:
            return self._write_model(new)
        except sa.exc.IntegrityError:  # another import has taken it in at this moment
            return self._write_model(new)

    def _write_model(self, new: ImportModel) -> Imported:
        tally = transfer.model_tally(new.model, new.files)
        with self._database.write() as connection:
            home = store.find_experiment(connection, new.model.experiment)
            if home is None:
                raise NotFound(f"there is no experiment with id {new.model.experiment!r}", where=new.model.id)
            known = logged_store.find_model(connection, new.model.id, lock=True)
            if known is None:
                self._insert_model(connection, new.model, home, new.files)
            else:
                kept = transfer.model_tally(known, store.select_artifacts(connection, known.id))
                self._settle(connection, new.source, "model", known.id, new.files, tally, kept)
            done = _noted("model", new, new.model.id, tally, added=known is None)
            self._note(connection, [done])
            return done

    def _insert_model(
        self, connection: sa.Connection, model: LoggedModel, home: Experiment, files: Sequence[Artifact]
    ) -> None:
        deleted = (model.deleted_at or self._clock.now()) if model.lifecycle == "deleted" else None
        made = msgspec.structs.replace(
            model, artifacts=f"{home.artifacts}/models/{model.id}/artifacts", deleted_at=deleted
        )
        logged_store.insert_model(connection, made)
        rows = [msgspec.structs.asdict(one) | {"model": model.id} for one in model.metrics]
        logged_store.add_once(connection, logged_store.model_metrics, rows)
        self._put_files(connection, model.id, files)

    # ── both ─────────────────────────────────────────────────────────────

    def _settle(
        self,
        connection: sa.Connection,
        source: str,
        kind: CopyKind,
        identity: str,
        files: Sequence[Artifact],
        asked: Tally,
        kept: Tally,
    ) -> None:
        """Decides about something that is here already: the same, or lacking files, or another."""
        if kept.digest == asked.digest:
            return
        key = sa.and_(imports.c.kind == kind, imports.c.id == identity)
        before = connection.execute(sa.select(imports.c.source, imports.c.whole).where(key)).first()
        if before is not None and before.source == source and not before.whole:
            self._put_files(connection, identity, files)
            return
        noun = "run" if kind == "run" else "logged model"
        differing = [
            f"{name} {getattr(kept, name):,} here, {getattr(asked, name):,} there"
            for name in Tally.__struct_fields__
            if name != "digest" and getattr(kept, name) != getattr(asked, name)
        ]
        raise AlreadyExists(
            f"the {noun} is here already, and not the same: {', '.join(differing) or 'other values'}",
            where=identity,
            fix="delete the one here and collect it with `treadle gc` to take in the other",
        )

    def _note(self, connection: sa.Connection, done: Sequence[Imported]) -> None:
        now = self._clock.now()
        rows = [{name: getattr(one, name) for name in _NOTED} | {"at": now} for one in done]
        store.upsert(connection, imports, rows)

    def _put_files(self, connection: sa.Connection, owner: str, files: Sequence[Artifact]) -> None:
        rows = [msgspec.structs.asdict(file) | {"owner": owner, "at": self._clock.now()} for file in files]
        store.upsert(connection, artifacts, rows)

    def _check_bytes(self, files: Sequence[Artifact]) -> None:
        for file in files:
            if not self._blobs.claim(file.digest):
                raise NotFound(
                    f"the bytes of {file.path!r:.200} are not in the blob store", where=file.digest
                )

    def _more(self, blobs: Sequence[str]) -> list[CurveCopy]:
        found: list[CurveCopy] = []
        for digest in blobs:
            try:
                found += msgspec.json.decode(self._blobs.get(digest), type=list[CurveCopy])
            except msgspec.MsgspecError as error:
                raise InvalidInput(f"the blob holds no curves: {error}", where=digest) from None
        return found

    def check(self, asked: Check) -> list[Checked]:
        """Counts what is kept, and reads the bytes of files again.

        Raises:
            InvalidInput: If it is over 1,000 runs and logged models.
        """
        if len(asked.runs) + len(asked.models) > limits.ENTITIES_AT_ONCE:
            raise InvalidInput(f"up to {limits.ENTITIES_AT_ONCE:,} can be checked at once")
        with self._database.read() as connection:
            kept = kept_tallies(connection, asked.runs)
        found = [self._checked("run", one, kept.get(one), read=asked.files) for one in asked.runs]
        for identity in asked.models:
            with self._database.read() as connection:
                model = logged_store.find_model(connection, identity)
                files = store.select_artifacts(connection, identity)
            counted = transfer.model_tally(model, files) if model else None
            found.append(self._checked("model", identity, counted, read=asked.files))
        return found

    def _checked(self, kind: CopyKind, identity: str, tally: Tally | None, *, read: bool) -> Checked:
        broken: list[str] = []
        if tally is not None and tally.files and read:
            with self._database.read() as connection:
                files = store.select_artifacts(connection, identity)
            broken = [file.path for file in files if not self._is_whole(file)]
        return Checked(kind=kind, id=identity, tally=tally, broken=tuple(broken))

    def _is_whole(self, file: Artifact) -> bool:
        try:
            return sum(len(piece) for piece in self._blobs.stream(file.digest)) == file.size
        except (TreadleError, OSError):
            return False


def _noted(
    kind: CopyKind, new: ImportRun | ImportModel, identity: str, tally: Tally, *, added: bool
) -> Imported:
    return Imported(
        kind=kind, id=identity, source=new.source, stamp=new.stamp, whole=new.whole, tally=tally, added=added
    )


def _known_experiment(
    connection: sa.Connection, copy: ExperimentCopy, *, lock: bool = False
) -> Experiment | None:
    """The experiment here that one of another server is."""
    known = store.find_experiment(connection, name=copy.name, lock=lock)
    if known is None and copy.name == DEFAULT:
        known = store.find_experiment(connection, DEFAULT_ID, lock=lock)
    return known


def _check_run(run: RunCopy) -> None:
    limits.check_run_id(run.id)
    for kind, texts in (("parameter", run.params), ("tag", run.tags)):
        for name in texts:
            limits.check_key(kind, name)
    for link in run.models:
        if not link.model or len(link.model) > limits.KEY_LENGTH:
            raise InvalidInput(f"{link.model!r:.80} can't be a logged model", where=run.id)
    _check_texts(run)


def _check_texts(copy: RunCopy | LoggedModel) -> None:
    # As JSON writes it: whatever holds one, a run with it could not be kept on Postgres.
    if b"\\u0000" in msgspec.json.encode(copy):
        raise InvalidInput("a text has a NUL, which can't be kept", where=copy.id)


def _check_files(files: Sequence[Artifact]) -> None:
    paths = set()
    for file in files:
        rules.check_artifact_path(layout.check_path(file.path))
        if not _DIGEST.fullmatch(file.digest):
            raise InvalidInput(f"{file.digest!r:.80} is no digest", where=file.path)
        paths.add(file.path)
    folders = {path[:at] for path in paths for at, letter in enumerate(path) if letter == "/"}
    both = min(paths & folders, default=None)
    if both is not None:
        raise InvalidInput(f"{both!r:.200} can't be both a file and a folder")
