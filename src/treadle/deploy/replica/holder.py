"""Holds what answers for one model, and swaps it while requests go on.

It reports to the platform and is told what to serve. A new version is fetched, loaded
and proven beside the old one; then one reference changes. Requests that came before keep
the version they came to.

One that is lazy is loaded when it is first asked, and can be let go of again; see
:mod:`treadle.deploy.replica.residents`. A version that comes to it later is loaded and proven
when it comes, as any.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import msgspec

from treadle.deploy.replica import protocol
from treadle.deploy.replica.manyrows import ManyRows
from treadle.deploy.replica.onerow import OneRow
from treadle.deploy.replica.platform import Platform
from treadle.deploy.replica.served import Desk, Model, Served
from treadle.deploy.replica.stats import Stats
from treadle.deploy.replica.trials import Tried
from treadle.deploy.replica.vitals import Vitals
from treadle.deploy.types import DesiredRevision, ReplicaReport
from treadle.deploy.worker import Preparing
from treadle.kernel.errors import CorruptData, ModelInvalid, TreadleError, Unavailable
from treadle.kernel.ids import digest_bytes, digest_file
from treadle.registry import LoadedModel

log = logging.getLogger("treadle.replica")

_KEPT = 3
# A process that dies this often while it loads a revision is killed by the revision.
_FATAL = 2
# Seconds after which a model that can't be loaded is tried again, for whoever asks it.
_REST = 30.0


class Holder:
    """Keeps the version of a model that the platform wants.

    Args:
        desk: The model's name, figures and journal.
        folder: Where copies of its files are kept, and nothing else.
        marker: A file that tells, while a revision is being loaded, which.
        platform: Tells what to serve and has the files.
        report: Makes the model's report, but for revision and failure.
        opened: Loads the model in a folder, and proves it.
        nullable: Whether a request may lack the value of a feature.
        lazy: Whether it is loaded only when it is asked.

    Attributes:
        current: What answers; None before the first, and while it is let go of.
        tried: What is tried beside it, if anything is.
        lazy: Whether it is loaded only when it is asked.
        used: When it was last asked, by ``time.perf_counter``.
    """

    def __init__(
        self,
        desk: Desk,
        folder: Path,
        marker: Path,
        platform: Platform,
        report: Callable[[], ReplicaReport],
        opened: Callable[[Path], Model] = LoadedModel.load,
        *,
        nullable: bool = True,
        lazy: bool = False,
    ) -> None:
        self.current: Served | None = None
        self.tried: Tried | None = None
        self.lazy = lazy
        self.used = 0.0
        self.desk = desk
        self._folder = folder
        self._marker = marker
        self._platform = platform
        self._report = report
        self._opened = opened
        self._nullable = nullable
        self._failed: int | None = None
        self._error: str | None = None
        self._resting: DesiredRevision | None = None
        self._failed_at = -math.inf
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._away = False
        self._process = f"{os.getpid()}-{time.time_ns()}"

    def pick(self) -> Served | None:
        """What answers the next request."""
        return self.current

    @property
    def asleep(self) -> bool:
        """Whether there is something to answer with, which has to be loaded first."""
        return self.current is None and self._resting is not None

    @property
    def rest(self) -> float:
        """Seconds until a model that could not be loaded is tried again."""
        return max(self._failed_at + _REST - time.monotonic(), 0.0)

    def ready(self) -> bool:
        """Whether something answers once it is asked, and not only with failures."""
        current = self.current
        if current is None:
            return self._resting is not None and self._resting.revision != self._failed
        return not current.vitals.failing(time.perf_counter())

    def sleep(self) -> None:
        """Lets go of what answers; who asks it already is answered all the same."""
        if self.current is not None and self._resting is not None:
            self.current = None
            self.desk.stats.unloads += 1

    def wake(self) -> None:
        """Loads what answers, if it is not loaded.

        Raises:
            Preparing: If it takes a while: ask again.
            Unavailable: If its files are not here, and the platform that has them is away.
            ModelInvalid: If it can't be loaded; without trying again for some time.
        """
        with self._lock:
            wanted = self._resting
            if self.current is not None or wanted is None:
                return
            if self._failed == wanted.revision and self.rest:
                raise ModelInvalid(self._error or "it failed")
            try:
                self._check_alive(wanted.revision)
                self.current = self._load(wanted, self.desk)
            except (Preparing, Unavailable):
                raise
            except Exception as error:  # whatever it is, it is this model's trouble alone
                self._fail(wanted.revision, error)
                raise ModelInvalid(self._error or "it failed") from error
            finally:
                self._marker.unlink(missing_ok=True)
            self._failed = self._error = None
            self.desk.stats.loads += 1

    def follow(self) -> bool:
        """Reports once and takes what is wanted; True if there is something new to report."""
        try:
            wanted = self.tell()
        except TreadleError as error:
            self.noted(error)
            return False
        self.noted(None)
        return self.heed(wanted)

    def tell(self) -> DesiredRevision | None:
        """Reports once, from any thread; returns what is wanted.

        Raises:
            TreadleError: If the platform doesn't answer.
        """
        with self._telling:  # in order: the platform goes by what it was told last
            return self._platform.report(self.report())

    def report(self) -> ReplicaReport:
        """How it is."""
        return msgspec.structs.replace(
            self._report(),
            revision=self._answering(),
            failed=self._failed,
            error=self._error,
            process=self._process,
            trial=self.tried.report() if self.tried else None,
        )

    def heed(self, wanted: DesiredRevision | None) -> bool:
        """Takes what is wanted; True if there is something new to report."""
        if wanted is None:
            return False
        self.desk.stats.slow_after = math.inf if wanted.slow_ms is None else wanted.slow_ms / 1000
        with self._lock:
            if wanted.revision not in (self._answering(), self._failed):
                return self._take(wanted)
            return self._try(wanted)

    def _answering(self) -> int | None:
        """The revision that answers, or will once it is asked."""
        current, resting = self.current, self._resting
        if current is not None:
            return current.revision
        return resting.revision if resting is not None and resting.revision != self._failed else None

    def _take(self, wanted: DesiredRevision) -> bool:
        """Lets what is wanted answer from now on; True if there is something new to report."""
        if self.lazy and self.current is None and self._resting is None and wanted.trial is None:
            self._resting = wanted
            return True
        if self.tried and self.tried.served.revision == wanted.revision:
            self.current, self.tried = msgspec.structs.replace(self.tried.served, desk=self.desk), None
        else:
            loaded, again = self._loaded(wanted, self.desk)
            if loaded is None:
                return again
            self.current = loaded
        self._failed = self._error = None
        self._resting = wanted if self.lazy else None
        self.desk.stats.swaps += 1
        log.info("%s version %d (revision %d) answers", self.desk.model, wanted.version, wanted.revision)
        return True

    def _try(self, wanted: DesiredRevision) -> bool:
        """Tries what is to be tried beside what answers; True if there is something new to report."""
        asked = wanted.trial
        if asked is None:
            self.tried = None
        elif self.tried and self.tried.served.revision == asked.revision:
            self.tried.adjust(asked)
        elif asked.revision != self._failed:
            like = msgspec.structs.replace(
                wanted, revision=asked.revision, version=asked.version, files=asked.files, trial=None
            )
            # What a shadow says is not an answer: it is neither counted as one nor written down.
            desk = Desk(self.desk.model, Stats(), None) if asked.shadow else self.desk
            loaded, again = self._loaded(like, desk)
            if loaded is None:
                return again
            self.tried = Tried(loaded, asked, self._process)
            log.info("%s version %d (revision %d) is tried", self.desk.model, asked.version, asked.revision)
            return True
        return False

    def _loaded(self, wanted: DesiredRevision, desk: Desk) -> tuple[Served | None, bool]:
        """A revision, loaded and proven; if it can't be, whether there is something new to report."""
        try:
            self._check_alive(wanted.revision)
            return self._load(wanted, desk), True
        except Preparing:
            return None, False
        except Unavailable as error:
            self.noted(error)
            return None, False
        except Exception as error:  # noqa: BLE001 - whatever it is, the old model goes on answering
            self._fail(wanted.revision, error)
            return None, True
        finally:
            self._marker.unlink(missing_ok=True)

    def _fail(self, revision: int, error: Exception) -> None:
        self._failed, self._error, self._failed_at = revision, _said(error), time.monotonic()
        log.warning("%s: revision %d can't be loaded: %s", self.desk.model, revision, self._error)

    def _check_alive(self, revision: int) -> None:
        """Marks that a revision is being loaded, and refuses one that has killed the process.

        A library that crashes takes the process along: nothing can be caught. So what is
        being loaded is written down first, and read by the process that comes next.

        Raises:
            ModelInvalid: If the process died twice while it loaded this revision.
        """
        deaths = 0
        if self._marker.exists():
            before, _, count = self._marker.read_text().partition(" ")
            deaths = int(count or 0) if before == str(revision) else 0
        if deaths >= _FATAL:
            raise ModelInvalid(f"the process died {deaths} times while it loaded the model")
        self._marker.write_text(f"{revision} {deaths + 1}")

    def noted(self, error: TreadleError | None) -> None:
        """Says when the platform begins or ceases to answer."""
        if error and not self._away:
            log.warning("the platform doesn't answer; going on as before: %s", error)
        if self._away and not error:
            log.info("the platform answers again")
        self._away = error is not None

    def _load(self, wanted: DesiredRevision, desk: Desk) -> Served:
        loaded = self._opened(self._fetch(wanted))
        signature, small = loaded.signature, loaded.small_batches()
        inputs = protocol.inputs_of(signature, wanted.key, wanted.time, nullable=self._nullable)
        described = protocol.metadata(
            self.desk.model,
            wanted.version,
            signature,
            wanted.key,
            wanted.time,
            platform=loaded.platform,
            real=loaded.real,
        )
        return Served(
            revision=wanted.revision,
            version=wanted.version,
            loaded=loaded,
            small=small,
            large=loaded.small_batches() if small else None,
            inputs=inputs,
            one_row=OneRow(inputs),
            many_rows=ManyRows(inputs),
            metadata=msgspec.json.encode(described),
            vitals=_first_vitals(loaded),
            desk=desk,
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


def _first_vitals(loaded: Model) -> Vitals:
    """Times the model, which is warm now that it was proven, on its own example."""
    example = loaded.example
    one = {name: values[:1] for name, values in example.items()}
    began = time.perf_counter()
    loaded.predict(one)
    then = time.perf_counter()
    rows = len(loaded.predict(example))
    return Vitals(then - began, (time.perf_counter() - then) / rows)


def _said(error: Exception) -> str:
    """What happened and where, in a line; what to do is said by whoever asked for the revision."""
    if isinstance(error, TreadleError):
        return f"{error.where}: {error.message}" if error.where else error.message
    return str(error).partition("\n")[0] or type(error).__name__
