"""A folder, here or in a bucket, in which others drop predictions and labels as Parquet.

``predictions/MODEL/*.parquet`` and ``labels/MODEL/*.parquet``. A file is a batch whose identity is the
SHA-256 of its bytes: it is appended whole or not at all, and once, wherever a process dies. Then it is moved
to ``taken``, or, if it can't be used, to ``refused`` with a text beside it that says why. Parquet's footer is
written last, so a file without one is still being written; one that hasn't grown for ten minutes never will.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import Busy, StorageError, TreadleError
from treadle.kernel.events import record
from treadle.kernel.object_stores import open_store
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.monitor.drop_files import column_of, read_labels, read_predictions
from treadle.monitor.log import PredictionLog, check_model
from treadle.monitor.types import DropKind, DroppedFile

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_log = logging.getLogger("treadle.monitor")
_SETTLED = timedelta(minutes=10)
_MAGIC = b"PAR1"
_PASSED = "it is passed over"
_told: set[tuple[str, str]] = set()
"""Of which files that lie astray this process has told."""
_DATA = frozenset((".parquet", ".parq", ".pq", ".csv", ".tsv", ".json", ".jsonl", ".arrow", ".avro", ".orc"))
"""What is meant to be taken, whether it can be or not; others are in the making, or none of ours."""
_LEAST = 12  # magic, length of the footer, magic
_KINDS: tuple[DropKind, ...] = ("predictions", "labels")
_MAX_BYTES = 1 << 30
_PIECE = 4 << 20


class Drops:
    """Takes in what was dropped.

    Args:
        workspace: Where it goes; ``[monitor] drop`` says where it comes from.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._place = workspace.config.monitor.drop
        self._predictions = PredictionLog(workspace)

    def take(self, model: str) -> list[DroppedFile]:
        """Takes in the files that are there, predictions first, each in the order of names.

        Returns:
            What became of each, and last the files that lie where nothing is taken from; none where no
            folder is declared.

        Raises:
            NotFound: If there is no such model.
            StorageError: If the folder can't be read or written, or the log can't be written; files that
                weren't reached stay where they are.
        """
        check_model(self._ws, model)
        if self._place is None:
            return []
        with self._errors():
            store = self._open(self._place)
            taken, astray = list[DroppedFile](), list[DroppedFile]()
            for kind in _KINDS:
                for found in self._found(store, kind):
                    if _in_place(kind, model, found["path"]):
                        taken.append(self._take(store, kind, model, found))
                    elif why := self._astray(kind, model, found["path"]):
                        astray.append(
                            DroppedFile(file=found["path"], kind=kind, state="waiting", rows=0, reason=why)
                        )
            return taken + astray

    def _open(self, place: str) -> ObjectStore:
        from obstore.store import LocalStore

        if "://" in place:
            return open_store(place, self._ws.config.store.options)
        return LocalStore(self._ws.root / place, mkdir=True)

    def _found(self, store: ObjectStore, kind: DropKind) -> list[Any]:
        """What lies under a folder, however deep, by path; without what is hidden, as others' work is."""
        import obstore

        listed = [one for part in obstore.list(store, kind) for one in part]
        seen = [one for one in listed if not any(name[0] in "._" for name in one["path"].split("/"))]
        seen = [one for one in seen if PurePosixPath(one["path"]).suffix in _DATA]
        return sorted(seen, key=lambda one: str(one["path"]))

    def _astray(self, kind: DropKind, model: str, path: str) -> str | None:
        """Why nothing takes a file; None if another model's look does."""
        place = f"{kind}/{model}/NAME.parquet"
        whose = path.split("/")[1]
        if "/" not in path.removeprefix(f"{kind}/"):
            return f"{_PASSED}: it lies in no model's folder; put it there: {place}"
        try:
            check_model(self._ws, whose)
        except TreadleError as error:
            return f"{_PASSED}: {error.message}" + (f" ({error.fix})" if error.fix else "")
        if whose != model and _in_place(kind, whose, path):
            return None
        return f"{_PASSED}: only Parquet files are taken, and of no folder below: {place}"

    def _take(self, store: ObjectStore, kind: DropKind, model: str, found: Any) -> DroppedFile:
        import obstore

        told = DroppedFile(file=found["path"], kind=kind, state="taken", rows=0)
        if found["size"] > _MAX_BYTES:
            why = (
                f"the file has {found['size']:,} bytes; a file is taken whole, and has at most {_MAX_BYTES:,}"
            )
            return self._refuse(store, model, found, told, why)
        made = self._ws.state / "tmp"  # what a killed process leaves there is swept up
        made.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=made) as folder:
            copy = Path(folder) / "dropped.parquet"
            digest = hashlib.sha256()
            try:
                got = obstore.get(store, found["path"])
                with copy.open("wb") as out:
                    for piece in got.stream(min_chunk_size=_PIECE):
                        digest.update(piece)
                        out.write(piece)
            except FileNotFoundError:  # another process was first
                return _said(told, "waiting", "it was taken by another process")
            if not _finished(copy):
                if SystemClock().now() - found["last_modified"] < _SETTLED:
                    return _said(told, "waiting", "it is still being written: it has no Parquet footer")
                why = "it has no Parquet footer: it is no Parquet file, or writing it was broken off"
                return self._refuse(store, model, found, told, why)
            try:
                rows, news = self._append(kind, model, copy, f"drop:{digest.hexdigest()}")
            except (Busy, StorageError):
                raise  # not the file's fault: it stays where it is
            except TreadleError as error:
                return self._refuse(store, model, found, told, _reason(error))
        self._move(store, found, _free(store, f"taken/{found['path']}"))
        known = (
            ""
            if news or not rows
            else "its rows were in the log already: a file of the same content was taken"
        )
        return _said(told, "taken", known, rows)

    def _append(self, kind: DropKind, model: str, path: Path, batch: str) -> tuple[int, bool]:
        """How many rows a file has, and whether they were news."""
        if kind == "predictions":
            predictions = read_predictions(self._ws.engine, path, batch)
            return len(predictions.ids), self._predictions.append(model, predictions)
        labels = read_labels(self._ws.engine, path, batch)
        return len(labels.ids), self._predictions.append_labels(model, labels)

    def _refuse(self, store: ObjectStore, model: str, found: Any, told: DroppedFile, why: str) -> DroppedFile:
        """Sets a file aside whole; the reason is there before the file is."""
        import obstore

        aside = _free(store, f"refused/{found['path']}")
        obstore.put(store, f"{aside}.reason.txt", f"{why}\n".encode())
        self._move(store, found, aside)
        with self._ws.database.write() as connection:
            record(connection, self._refused(model, found, why))
        _log.warning("%s was refused: %s", found["path"], why)
        return _said(told, "refused", why)

    def _refused(self, model: str, found: Any, why: str) -> Event:
        return Event(
            id=f"drop-refused:{found['path']}:{found['e_tag']}",
            at=self._ws.clock.now(),
            recorded_at=SystemClock().now(),
            subject=f"model:{model}",
            kind="drop_refused",
            actor="monitor",
            message=f"{found['path']} was not taken into the log: {why}",
            facts={"file": found["path"]},
        )

    @staticmethod
    def _move(store: ObjectStore, found: Any, target: str) -> None:
        """Moves a file, unless another one lies there by now."""
        import obstore

        try:
            if obstore.head(store, found["path"])["e_tag"] == found["e_tag"]:
                obstore.rename(store, found["path"], target)
        except FileNotFoundError:
            return  # another process was first

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Obstore has errors of its own, one of them for what isn't there."""
        try:
            yield
        except TreadleError:
            raise
        except Exception as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise StorageError(
                f"the folder for dropped files can't be used: {first}",
                where=str(self._place),
                fix="see [monitor] drop, and [store] options for a bucket",
            ) from error


def take_dropped(workspace: Workspace, model: str) -> None:
    """Takes in what was dropped, before monitors look; a folder that can't be reached doesn't stop them."""
    try:
        found = Drops(workspace).take(model)
    except (StorageError, Busy) as error:
        _log.warning("dropped files were not taken in: %s", error)
        return
    for one in found:
        key = (str(workspace.root), one.file)
        if (
            one.state == "waiting"
            and one.file.endswith(".parquet")
            and _PASSED in one.reason
            and key not in _told
        ):
            _told.add(key)
            _log.warning("%s: %s", one.file, one.reason)


def _in_place(kind: DropKind, model: str, path: str) -> bool:
    """Whether a file lies where a model's are taken from."""
    name = path.removeprefix(f"{kind}/{model}/")
    return name != path and "/" not in name and name.endswith(".parquet")


def _free(store: ObjectStore, path: str) -> str:
    """The path, or with the lowest number that makes it one at which no file lies."""
    import obstore

    whole = PurePosixPath(path)
    for number in count(1):
        target = path if number == 1 else str(whole.with_name(f"{whole.stem}.{number}{whole.suffix}"))
        try:
            obstore.head(store, target)
        except FileNotFoundError:
            return target
    raise AssertionError


def _finished(path: Path) -> bool:
    """Whether a file begins and ends as Parquet does, and its footer fits into it."""
    size = path.stat().st_size
    if size < _LEAST:
        return False
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(-8, 2)
        length, tail = int.from_bytes(file.read(4), "little"), file.read(4)
    return head == tail == _MAGIC and length <= size - _LEAST


def _reason(error: TreadleError) -> str:
    where = f"{column_of(error.where)}: " if error.where else ""
    return f"{where}{error.message}" + (f" ({error.fix})" if error.fix else "")


def _said(told: DroppedFile, state: Any, reason: str, rows: int = 0) -> DroppedFile:
    return DroppedFile(file=told.file, kind=told.kind, state=state, rows=rows, reason=reason)
