"""Holds the model that answers, and swaps it while requests go on.

A thread reports to the platform and is told what to serve. A new model is fetched, loaded
and proven beside the old one; then one reference changes. Requests that came before keep
the model they came to.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import msgspec

from treadle.deploy.replica import protocol
from treadle.deploy.replica.onerow import OneRow
from treadle.deploy.replica.platform import Platform
from treadle.deploy.types import DesiredRevision, ReplicaReport
from treadle.kernel.errors import CorruptData, TreadleError, Unavailable
from treadle.kernel.ids import digest_bytes, digest_file
from treadle.registry import LoadedModel

log = logging.getLogger("treadle.replica")

_KEPT = 3


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A model that answers.

    Attributes:
        revision: The deployment's revision.
        version: The model's version.
        loaded: The model.
        inputs: What a request to it may bring.
        one_row: Reads the most common requests to it.
        metadata: What it takes and gives, as the protocol's JSON.
    """

    revision: int
    version: int
    loaded: LoadedModel
    inputs: protocol.Inputs
    one_row: OneRow
    metadata: bytes


class Holder:
    """Keeps the model that the platform wants.

    Args:
        model: The model's name.
        folder: Where copies of model files are kept.
        platform: Tells what to serve and has the files.
        report: Makes the replica's report, but for revision and failure.
        poll: Seconds between two reports.
    """

    def __init__(
        self,
        model: str,
        folder: Path,
        platform: Platform,
        report: Callable[[], ReplicaReport],
        poll: float,
    ) -> None:
        self.current: Served | None = None
        self._model = model
        self._folder = folder
        self._platform = platform
        self._report = report
        self._poll = poll
        self._failed: int | None = None
        self._error: str | None = None
        self._away = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="holder", daemon=True)

    def start(self) -> None:
        """Begins to report and to follow."""
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Ends; a model that is being loaded is given up after ``timeout`` seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                while self._follow() and not self._stop.is_set():
                    pass
            except Exception:  # the thread must live: without it no version would ever change
                log.exception("following the platform failed")
            self._stop.wait(self._poll)

    def _follow(self) -> bool:
        """Reports once and takes what is wanted; True if there is something new to report."""
        current = self.current.revision if self.current else None
        report = msgspec.structs.replace(
            self._report(), revision=current, failed=self._failed, error=self._error
        )
        try:
            wanted = self._platform.report(report)
        except TreadleError as error:
            self._noted(error)
            return False
        self._noted(None)
        if wanted is None or wanted.revision in (current, self._failed):
            return False
        return self._take(wanted)

    def _take(self, wanted: DesiredRevision) -> bool:
        try:
            self.current = self._load(wanted)
        except Unavailable as error:
            self._noted(error)
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, the old model goes on answering
            self._failed, self._error = wanted.revision, _said(error)
            log.warning("revision %d can't be loaded: %s", wanted.revision, self._error)
            return True
        self._failed = self._error = None
        log.info("%s version %d (revision %d) answers", self._model, wanted.version, wanted.revision)
        return True

    def _noted(self, error: TreadleError | None) -> None:
        if error and not self._away:
            log.warning("the platform doesn't answer; going on as before: %s", error)
        if self._away and not error:
            log.info("the platform answers again")
        self._away = error is not None

    def _load(self, wanted: DesiredRevision) -> Served:
        loaded = LoadedModel.load(self._fetch(wanted))
        signature = loaded.signature
        inputs = protocol.inputs_of(signature, wanted.key, wanted.time)
        described = protocol.metadata(self._model, wanted.version, signature, wanted.key, wanted.time)
        return Served(
            revision=wanted.revision,
            version=wanted.version,
            loaded=loaded,
            inputs=inputs,
            one_row=OneRow(inputs),
            metadata=msgspec.json.encode(described),
        )

    def _fetch(self, wanted: DesiredRevision) -> Path:
        """The model's files in a folder of their own, each checked against its digest."""
        content = digest_bytes(msgspec.json.encode(sorted(wanted.files.items())))
        folder = self._folder / f"{wanted.version}-{content[:16]}"
        for name, digest in wanted.files.items():
            path = folder / PurePosixPath(name)
            if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
                raise CorruptData("a model's file lies outside its folder", where=name)
            if path.is_file() and digest_file(path) == digest:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            self._platform.fetch_blob(digest, path)
            if digest_file(path) != digest:
                path.unlink()
                raise CorruptData("a model's file is not what was registered", where=name)
        folder.touch()
        self._prune()
        return folder

    def _prune(self) -> None:
        kept = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for folder in kept[_KEPT:]:
            shutil.rmtree(folder, ignore_errors=True)


def _said(error: Exception) -> str:
    """What happened and where, in a line; what to do is said by whoever asked for the revision."""
    if isinstance(error, TreadleError):
        return f"{error.where}: {error.message}" if error.where else error.message
    return str(error).partition("\n")[0] or type(error).__name__
