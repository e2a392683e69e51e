"""Tracking, as logging clients ask for it: experiments, and runs that are written value by value.

The same runs as :class:`treadle.experiment.Experiments` keeps from journals; here each call is
one change, durable when it returns.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec
import sqlalchemy as sa

from treadle.experiment import curves, limits, logged_store, search, series, store
from treadle.experiment.grammar import parse_run_filter, parse_run_order
from treadle.experiment.homes import MOST, Homes
from treadle.experiment.logged_models import link_models, log_model_metrics
from treadle.experiment.logged_types import ModelMetric
from treadle.experiment.names import random_name
from treadle.experiment.series import Curve
from treadle.experiment.types import (
    DEFAULT_ID,
    Lives,
    ModelLink,
    NewRun,
    Run,
    RunInput,
    RunStatus,
    Sample,
    TrackedRun,
)
from treadle.experiment.writer import MetricWriter
from treadle.experiment.writes import Append, Begin
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.workspace import Workspace

NAME_TAG = "mlflow.runName"
_ENDED = ("finished", "failed", "killed")

Curves: TypeAlias = dict[str, Curve]


class TrackedRuns(msgspec.Struct, frozen=True):
    """A page of runs.

    Attributes:
        runs: The runs.
        token: What to ask for the next page with; None on the last one.
    """

    runs: list[TrackedRun]
    token: str | None


class Tracking(Homes):
    """The experiments and runs of a workspace, for clients that log as they go.

    Runs are timed by the machine's clock, also in a replay, as their scripts time them.

    Args:
        workspace: Where they are kept.
        writer: Writes metrics.
    """

    def __init__(self, workspace: Workspace, writer: MetricWriter) -> None:
        super().__init__(workspace)
        self._writer = writer

    # ── runs ─────────────────────────────────────────────────────────────

    def create_run(
        self,
        experiment: str = DEFAULT_ID,
        *,
        name: str | None = None,
        user: str = "",
        started_at: datetime | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Future[TrackedRun]:
        """Starts a run, as :meth:`beginning` says; the future is done when that is durable.

        The future's error is NotFound for an experiment that isn't there, InvalidInput for a deleted one.

        Raises:
            InvalidInput: If a name or tag can't be used.
            Unavailable: If the server is stopping.
        """
        return self._writer.begin(
            self.beginning(experiment, name=name, user=user, started_at=started_at, tags=tags)
        )

    def beginning(
        self,
        experiment: str = DEFAULT_ID,
        *,
        name: str | None = None,
        user: str = "",
        started_at: datetime | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Begin:
        """What has the writer start a run.

        Args:
            experiment: The identifier of its experiment.
            name: Its name; the tag ``mlflow.runName``'s or a random one when left out.
            user: Who runs it.
            started_at: When it began; now when left out.
            tags: Its tags.

        Raises:
            InvalidInput: If a name or tag can't be used.
        """
        found = limits.shortened(tags or {}, "tag", limits.TAG_LENGTH)
        if name and found.get(NAME_TAG, name) != name:
            raise InvalidInput(f"the run's name is {name!r}, but its tag {NAME_TAG} is {found[NAME_TAG]!r}")
        name = name or found.get(NAME_TAG) or random_name()
        new = NewRun(
            id=secrets.token_hex(16),
            name=name,
            source="mlflow",
            user=user,
            started_at=started_at or self._clock.now(),
            tags={NAME_TAG: name, **found},
        )
        return Begin(new, experiment)

    def run(self, run_id: str) -> TrackedRun:
        """A run by its identifier, deleted or not.

        Raises:
            NotFound: If there is none.
        """
        limits.check_run_id(run_id)
        with self._database.read() as connection:
            found = store.tracked_run(connection, run_id)
            if found is None:
                raise _no_run(run_id)
            return _with_models(connection, [found])[0]

    def update_run(
        self,
        run_id: str,
        *,
        status: RunStatus | None = None,
        ended_at: datetime | None = None,
        name: str | None = None,
    ) -> TrackedRun:
        """Changes a run's status, end and name.

        Raises:
            NotFound: If there is no such run.
            InvalidInput: If it was deleted.
        """

        def update(run: Run) -> Run:
            if status is not None:
                run = msgspec.structs.replace(run, status=status)
                if status in _ENDED and ended_at is None and run.ended_at is None:
                    run = msgspec.structs.replace(run, ended_at=self._clock.now())
            if ended_at is not None:
                run = msgspec.structs.replace(run, ended_at=ended_at)
            if name:
                run = msgspec.structs.replace(run, name=name, tags={**run.tags, NAME_TAG: name})
            return run

        self._change(run_id, update)
        return self.run(run_id)

    def delete_run(self, run_id: str) -> None:
        """Deletes a run; it can be restored. Deleting it again changes nothing.

        Raises:
            NotFound: If there is no such run.
        """

        def delete(run: Run) -> Run:
            if run.lifecycle == "deleted":
                return run
            return msgspec.structs.replace(run, lifecycle="deleted", deleted_at=self._clock.now())

        self._change(run_id, delete, deleted=True)

    def restore_run(self, run_id: str) -> None:
        """Restores a deleted run. Restoring one that isn't changes nothing.

        Raises:
            NotFound: If there is no such run.
        """

        def restore(run: Run) -> Run:
            return msgspec.structs.replace(run, lifecycle="active", deleted_at=None)

        self._change(run_id, restore, deleted=True)

    def delete_tag(self, run_id: str, key: str) -> None:
        """Takes a tag from a run.

        Raises:
            NotFound: If there is no such run, or it has no such tag.
            InvalidInput: If it was deleted.
        """

        def untag(run: Run) -> Run:
            if key not in run.tags:
                raise NotFound(f"No tag with name: {key:.80} in run with id {run_id}")
            return msgspec.structs.replace(run, tags={k: v for k, v in run.tags.items() if k != key})

        self._change(run_id, untag)

    def log_metrics(self, run_id: str, samples: Sequence[Sample]) -> Future[None]:
        """Adds points to a run's curves; the future is done when they are durable.

        Raises:
            InvalidInput: If a name can't be a metric's, or there are over 1,000.
            Unavailable: If the server is stopping.
        """
        return self._writer.append(self.appending(run_id, samples))

    def appending(self, run_id: str, samples: Sequence[Sample]) -> Append:
        """What has the writer add points to a run's curves.

        Raises:
            InvalidInput: If a name can't be a metric's, or there are over 1,000.
        """
        limits.check_run_id(run_id)
        limits.check_amounts(len(samples), 0, 0)
        for name in {sample.name for sample in samples}:
            limits.check_key("metric", name)
        return Append(run_id, samples)

    def log_batch(
        self,
        run_id: str,
        samples: Sequence[Sample] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        measured: Sequence[ModelMetric] = (),
    ) -> None:
        """Adds metrics, parameters and tags to a run: all of them or none.

        Args:
            run_id: The run.
            samples: Points of its curves.
            params: Parameters.
            tags: Tags; a later value replaces an earlier one.
            measured: Which of the points were measured of logged models.

        Raises:
            NotFound: If there is no such run or logged model.
            InvalidInput: If it was deleted, a parameter would change, or something can't be used.
        """
        limits.check_amounts(len(samples), len(params or {}), len(tags or {}))
        for sample in samples:
            limits.check_key("metric", sample.name)
        new = limits.shortened(params or {}, "parameter", limits.PARAM_LENGTH)
        labels = limits.shortened(tags or {}, "tag", limits.TAG_LENGTH)
        with self._database.write() as connection:
            run = _run(connection, run_id, lock=True)
            _check_writable(run)
            known = {name: store.text_of(value) for name, value in run.params.items()}
            limits.check_new_params(new, known)
            fresh = {name: value for name, value in new.items() if name not in known}
            after = msgspec.structs.replace(
                run,
                params={**run.params, **fresh},
                tags={**run.tags, **labels},
                name=labels.get(NAME_TAG) or run.name,
            )
            if after != run:
                store.update_run(connection, run, after)
            if samples:
                curves.append(connection, run_id, samples)
                store.put_newer(connection, run_id, series.latest(samples).values())
            if measured:
                log_model_metrics(connection, measured)

    def log_inputs(
        self, run_id: str, used: Sequence[RunInput] = (), models: Sequence[ModelLink] = ()
    ) -> None:
        """Notes the datasets and logged models that a run used; noting one again changes nothing.

        Raises:
            NotFound: If there is no such run.
            InvalidInput: If it was deleted.
        """
        with self._database.write() as connection:
            _check_writable(_run(connection, run_id, lock=True))
            store.put_inputs(connection, run_id, used)
            link_models(connection, run_id, models)

    def _change(self, run_id: str, change: Callable[[Run], Run], *, deleted: bool = False) -> Run:
        with self._database.write() as connection:
            before = _run(connection, run_id, lock=True)
            if not deleted:
                _check_writable(before)
            after = change(before)
            if after != before:
                store.update_run(connection, before, after)
            return after

    # ── search ───────────────────────────────────────────────────────────

    def search_runs(
        self,
        experiments: Sequence[str],
        where: str = "",
        order: Sequence[str] = (),
        view: Lives = "active_only",
        limit: int = 1000,
        token: str | None = None,
    ) -> TrackedRuns:
        """Runs of experiments that fit a filter, page by page.

        Args:
            experiments: Their identifiers.
            where: A filter; see :mod:`treadle.experiment.grammar`.
            order: What they are ordered by; by start, the latest first, where that says nothing.
            view: Which of what was deleted is shown.
            limit: The most to return, up to 50,000.
            token: Where the page before ended.

        Raises:
            InvalidInput: If one of them can't be used.
        """
        if not 1 <= limit <= MOST:
            raise limits.beyond(limit, MOST)
        filters, keys = parse_run_filter(where), parse_run_order(order)
        with self._database.read() as connection:
            page = search.search_runs(connection, experiments, filters, keys, view, limit, token)
            return TrackedRuns(_with_models(connection, store.tracked(connection, page.rows)), page.token)

    # ── curves ───────────────────────────────────────────────────────────

    def curve(self, run_id: str, metric: str) -> Curve:
        """A metric's points by time, without exact repetitions; empty if the run has no such metric.

        Raises:
            NotFound: If there is no such run.
        """
        with self._database.read() as connection:
            _run(connection, run_id)
            return series.distinct(curves.read(connection, run_id, metric))

    def curves(self, ids: Sequence[str], metric: str) -> Curves:
        """A metric's points in several runs, as :meth:`curve` gives them."""
        with self._database.read() as connection:
            return {run: series.distinct(curves.read(connection, run, metric)) for run in ids}


def _run(connection: sa.Connection, run_id: str, *, lock: bool = False) -> Run:
    limits.check_run_id(run_id)
    found = store.exact_run(connection, run_id, lock=lock)
    if found is None:
        raise _no_run(run_id)
    return found


def _with_models(connection: sa.Connection, found: Sequence[TrackedRun]) -> list[TrackedRun]:
    links = logged_store.select_links(connection, [one.run.id for one in found])
    return [msgspec.structs.replace(one, models=tuple(links.get(one.run.id, ()))) for one in found]


def _no_run(run_id: str) -> NotFound:
    return NotFound(f"Run with id={run_id} not found")


def _check_writable(run: Run) -> None:
    if run.lifecycle != "active":
        raise limits.deleted_run(run.id)


def to_datetime(microseconds: int) -> datetime:
    """The moment so many microseconds after 1970 began.

    Raises:
        InvalidInput: If there is none before the year 10000.
    """
    try:
        return datetime.fromtimestamp(microseconds / 1e6, UTC).replace(microsecond=microseconds % 1_000_000)
    except (ValueError, OverflowError, OSError):
        raise InvalidInput(f"{microseconds // 1000} is no time in milliseconds since 1970") from None
