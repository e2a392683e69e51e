"""A run, for the script that makes it."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from treadle.experiment import (
    Finish,
    LogArtifact,
    LogInput,
    LogMetrics,
    LogParams,
    LogTags,
    MediaInfo,
    NewRun,
    Record,
    RunFolder,
    RunInput,
    check_artifact_path,
    check_name,
    check_params,
)
from treadle.experiment.types import Scalar
from treadle.kernel.errors import ConfigError, Conflict, InvalidInput, TreadleError
from treadle.kernel.units import format_duration
from treadle.sdk import summary, values
from treadle.sdk.gather import Gatherer
from treadle.sdk.inputs import Setting
from treadle.sdk.journal import Journal
from treadle.sdk.media import path_of, pieces, write_quick
from treadle.sdk.observing import Reads, Watch
from treadle.sdk.sender import GATHER_PATIENCE, Sender
from treadle.sdk.system import Sampler

if TYPE_CHECKING:
    from treadle.sdk.live import Live

Status = Literal["finished", "failed"]

_running: set[RunHandle] = set()


def running() -> list[RunHandle]:
    """The runs that this process writes."""
    return list(_running)


class RunHandle:
    """A run that is being made. End it with ``finish``, or use it as a context manager.

    Every method that logs returns when the record is with the operating system, so a
    crash loses nothing. Safe to use from several threads, and in forked children: they
    may log, and only the process that started the run ends it. Given to a process that was
    spawned, it is that process's own writer of the same run.

    Attributes:
        id: The run's identifier.
        name: The run's name.
    """

    def __init__(
        self,
        new: NewRun,
        folder: RunFolder,
        journal: Journal,
        setting: Setting | None,
        sender: Sender | None,
        gatherer: Gatherer | None = None,
        writer: str = "",
    ) -> None:
        self.id = new.id
        self.name = new.name
        self._folder = folder
        self._journal = journal
        self._setting = setting
        self._sender = sender
        self._gatherer = gatherer
        self._writer = writer
        self._params: dict[str, Scalar] = dict(new.params)
        self._seed = new.seed or 0
        self._shown: dict[str, int] = {}
        self._curves: dict[str, summary.Curve] = {}
        self._live: Live | None = None
        self._started = time.monotonic()
        self._status: Status | None = None
        self._owned = True
        self._sampler: Sampler | None = None
        self._watch = Watch(folder.path)
        _running.add(self)

    def sample(self, every: float, node: str = "") -> None:
        """Logs what the machine does every so many seconds, until the run ends."""
        self._sampler = Sampler(self._append, self._folder.path, every, node)
        self._sampler.start()

    # ── what it was given ────────────────────────────────────────────────

    @property
    def params(self) -> dict[str, Scalar]:
        """All hyperparameters: the job's, or those of ``[train.params]`` and ``start_run``."""
        return dict(self._params)

    @property
    def seed(self) -> int:
        """The seed to use."""
        return self._seed

    @property
    def features(self) -> list[str]:
        """The columns that the model may see.

        Raises:
            ConfigError: If there is neither a job nor a ``[train]`` table.
        """
        return list(self._train().features)

    @property
    def label(self) -> str:
        """The column to predict.

        Raises:
            ConfigError: If there is neither a job nor a ``[train]`` table.
        """
        return self._train().label

    @property
    def weight(self) -> str | None:
        """The column that says how much each row counts; None where all count alike.

        Give it to the learner: ``fit(inputs, labels, sample_weight=rows[run.weight])``.

        Raises:
            ConfigError: If there is neither a job nor a ``[train]`` table.
        """
        return self._train().weight

    @property
    def task(self) -> str:
        """What is predicted: ``binary`` or ``regression``.

        Raises:
            ConfigError: If there is neither a job nor a ``[train]`` table.
        """
        return self._train().task

    # ── logging ──────────────────────────────────────────────────────────

    def log(
        self, metrics: Mapping[str, Any] | None = None, /, *, step: int | None = None, **named: Any
    ) -> None:
        """Logs metrics: ``run.log(loss=0.3, step=7)`` or ``run.log({"val/auc": 0.7})``.

        Also images, sounds, tables, plots and pages, or lists of them:
        ``run.log(samples=treadle.Image(pixels))``.

        Args:
            metrics: Names and values, for names that Python can't write as keywords.
            step: The training step; without it, each metric counts its own values from 0.
            named: Names and values. NaN and infinities are values too.

        Raises:
            InvalidInput: If a value isn't a number, or a name or the step can't be used.
            Conflict: If the run has ended.
            StorageError: If the disk is full or fails.
        """
        if metrics is not None:
            named = values.merged("run.log", metrics, named)
        curves = self._curves
        shown = False
        for name, value in named.items():
            if type(value) is not float:
                named[name] = found = value if pieces(value) else values.number(name, value)
                shown |= type(found) is not float
            if name not in curves:
                check_name("metric", name)
        if step is not None:
            step = values.whole_step(step)
        if shown:
            named = self._show(named, step)
        if not named:
            return
        self._append(LogMetrics(time.time(), named, step))
        for name, value in named.items():
            curve = curves.get(name)
            if curve is None:
                curve = curves.setdefault(name, summary.Curve())
            curve.add(value)

    def _show(self, named: Mapping[str, Any], step: int | None) -> dict[str, Any]:
        """Keeps the media; all names and paths are checked before the first is written.

        Returns:
            What else was logged.
        """
        self._check_running()
        shown = {name: found for name, value in named.items() if (found := pieces(value))}
        kept: list[tuple[LogArtifact, bytes]] = []
        for name, found in shown.items():
            at = self._shown.get(name, 0) if step is None else step
            for number, one in enumerate(found):
                path = path_of(name, at, number, len(found) > 1, self._writer, one.ending)
                info = MediaInfo(one.kind, name, at, one.caption, number)
                kept.append((LogArtifact(path, len(one.data), media=info), one.data))
            self._shown[name] = at + 1
        for record, data in kept:
            write_quick(self._folder.files / record.path, data)
            self._append(record)
        return {name: value for name, value in named.items() if name not in shown}

    def log_params(self, params: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        """Logs hyperparameters that became known.

        Raises:
            InvalidInput: If a name or value can't be a parameter's.
            Conflict: If a parameter is known with another value, or the run has ended.
            StorageError: If the disk is full or fails.
        """
        found = values.scalars(values.merged("run.log_params", params, named))
        check_params(found, self._params, self.id)
        new = {name: value for name, value in found.items() if name not in self._params}
        if new:
            self._append(LogParams(new))
            self._params.update(new)

    def set_tags(self, tags: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        """Sets tags; a later value replaces an earlier one.

        Raises:
            InvalidInput: If a name can't be a tag's.
            Conflict: If the run has ended.
            StorageError: If the disk is full or fails.
        """
        found = values.texts(values.merged("run.set_tags", tags, named))
        if found:
            self._append(LogTags(found))

    def log_artifact(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        """Keeps a copy of a file, or of all files of a folder.

        Args:
            path: The file or folder.
            name: Its path within the run; its own name by default.

        Raises:
            NotFound: If there is no such file.
            InvalidInput: If the folder is empty or has links to folders, or the name can't be used.
            Conflict: If the run has ended.
            StorageError: If the disk is full or fails.
        """
        from treadle.sdk.copying import copy_in

        self._check_running()
        source = Path(path)
        target = check_artifact_path(source.resolve().name if name is None else name)
        for record in copy_in(source, self._folder.files, target):
            self._append(record)

    def log_model(self, model: Any, example: Any) -> None:
        """Keeps a model in the form that is evaluated and served: ONNX with a signature.

        Args:
            model: A fitted estimator of scikit-learn, XGBoost or LightGBM, or a pipeline of them;
                a PyTorch module that takes the columns as one tensor of floats; or the path of
                an ``.onnx`` file that has one input per column.
            example: Rows as the model takes them, to prove it on: a DataFrame, or a mapping
                of column names to values. Up to 100 of them are kept with the model.

        Raises:
            ModelInvalid: If it can't be converted, or the converted model answers the example
                differently from the original by more than 1e-4, or with the other label; names the row.
            InvalidInput: If the example can't be used.
            MissingExtra: If the converter isn't installed.
            Conflict: If the run has ended.
        """
        from treadle.sdk.writing import write_model

        self._check_running()
        task = self._setting.task if self._setting else None
        for file in write_model(model, example, task, self._folder.files / "model"):
            self._append(LogArtifact(f"model/{file.name}", file.stat().st_size))

    def abandon(self) -> None:
        """Lets go of the run without a word in it, as if this process had not come to it."""
        self._status = "failed"
        self._watch.stop()
        _running.discard(self)
        self._journal.close()

    def note_input(self, used: RunInput) -> None:
        """Notes a dataset that the run uses."""
        self._append(LogInput(used))

    def log_data(self, path: str | os.PathLike[str], name: str = "", message: str = "") -> str:
        """Makes a version of data that this run made, with the run and what it used as its origin.

        Like ``treadle data add``: the data gets a pointer beside it for Git to keep.

        Args:
            path: The file or folder, in the project.
            name: The dataset's name; its pointer's, or the last part of the path, by default.
            message: Why.

        Returns:
            The version, such as ``daily@v3``.

        Raises:
            NotFound: If nothing lies there.
            InvalidInput: If it lies outside of the project, or the name can't be one.
            Conflict: If the run has ended, or another made a version of the branch meanwhile.
            Unavailable: If a server holds the workspace and doesn't answer.
            MissingExtra: If there is no server and the platform isn't installed.
        """
        from treadle.sdk.datasets import add_data

        self._check_running()
        return add_data(self.id, path, name, message)

    def live(self) -> None:
        """Shows the curves while the run goes on, at most once a second: in this cell, or in the terminal."""
        from treadle.sdk.live import Live

        if self._live is None:
            self._live = Live(self.name, lambda: self._status or "running", self._curves)

    # ── the end ──────────────────────────────────────────────────────────

    def finish(self, status: Status = "finished", message: str | None = None) -> None:
        """Ends the run and sees to it that it is kept; ending it again does nothing.

        Waits at most 5 seconds for a server. Where there is none, or it doesn't answer,
        one line on standard error says so and the run waits for ``treadle sync``.

        A process that is only attached to the run ends its own part; one that failed leaves a
        tag that says so.

        Args:
            status: How it ended.
            message: Why it failed.

        Raises:
            InvalidInput: If the status is another.
        """
        if status not in ("finished", "failed"):
            raise InvalidInput(f"a run can't end as {status!r}", fix="use 'finished' or 'failed'")
        if self._status or not self._owned:
            return
        problem = None
        if self._sampler:
            self._sampler.stop()
        reads = self._watch.stop()
        try:
            self._write_end(status, message, reads)
        except TreadleError as error:
            problem = error.message
        self._status = status
        _running.discard(self)
        if self._live:
            self._live.close()
        self._journal.close()
        if self._sender:
            problem = self._sender.finish() or problem
            if problem or not self._writer:
                self._say(problem, message, reads.loose)
        elif self._gatherer:
            self._gatherer.wait(GATHER_PATIENCE)

    def _write_end(self, status: Status, message: str | None, reads: Reads) -> None:
        from treadle.sdk.observed import observed

        for record in observed(self._folder.path.parents[2], reads):
            self._append(record)
        told = values.text(message) if message else None
        if not self._writer:
            self._append(Finish(time.time(), status, told))
        elif status == "failed":
            self._append(LogTags({self._writer: f"failed: {told or ''}"}))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and not error.code):
            self.finish()
        else:
            self.finish("failed", _describe(error))

    def __reduce__(self) -> tuple[Any, ...]:
        from treadle.sdk.start import rejoin

        return rejoin, (self.id, str(self._folder.path))

    def __repr__(self) -> str:
        return f"<run {self.id} {self._status or 'running'}>"

    def _repr_html_(self) -> str:
        return summary.html(self.id, self._status or "running", self._params, self._curves)

    def _train(self) -> Setting:
        if self._setting is None:
            raise ConfigError(
                "there is no [train] table that says what to learn",
                where="treadle.toml",
                fix="run `treadle init`, then give [train] command, data and features",
            )
        return self._setting

    def _check_running(self) -> None:
        if self._status:
            raise Conflict("the run has ended", where=self.id, fix="start another with treadle.start_run()")

    def _append(self, record: Record) -> None:
        self._check_running()
        self._journal.append(record)

    def _say(self, problem: str | None, message: str | None, loose: Sequence[str]) -> None:
        took = format_duration(time.monotonic() - self._started)
        out = [f"run {self.id} {self._status} after {took}" + (f": {message}" if message else "")]
        out += summary.lines(self._curves)
        if loose:
            from treadle.sdk.observed import told_loose

            out.append(f"  {told_loose(loose)}; `treadle data add` makes a version")
        if problem:
            out.append(f"  kept in {self._folder.path} ({problem}); `treadle sync` sends it")
        else:
            out.append(f"  → treadle runs show {self.id}")
        with contextlib.suppress(Exception):  # A closed terminal is no reason to fail.
            print("\n".join(out), file=sys.stderr, flush=True)  # noqa: T201 - the summary


def _describe(error: BaseException) -> str:
    said = str(error)
    return values.text(f"{type(error).__name__}: {said}" if said else type(error).__name__)[:10_000]


def _finish_all() -> None:
    """Ends what a program left running when it ended, as the program itself ended."""
    interactive = hasattr(sys, "ps1")  # There an error ends a cell, not the program.
    error = None if interactive else getattr(sys, "last_value", None)
    for handle in list(_running):
        if error is None:
            handle.finish()
        else:
            handle.finish("failed", _describe(error))


def _disown_all() -> None:
    """A forked child writes into the same journals but neither sends nor ends the runs."""
    for handle in _running:
        handle._owned = False  # noqa: SLF001 - this module's own class
    _running.clear()


atexit.register(_finish_all)
os.register_at_fork(after_in_child=_disown_all)
