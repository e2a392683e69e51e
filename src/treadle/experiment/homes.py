"""The experiments that runs belong to: made, found, changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from treadle.experiment import layout, limits, search, store
from treadle.experiment.grammar import parse_experiment_filter, parse_experiment_order
from treadle.experiment.types import DEFAULT_ID, DatasetSummary, Experiment, Lives
from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.workspace import Workspace

MOST = 50_000
"""So many experiments or runs a page has at most."""

MOST_DATASETS = 1000
"""So many datasets are listed at most."""


class Homes:
    """The experiments of a workspace.

    They are timed by the machine's clock, also in a replay, as scripts time their runs.

    Args:
        workspace: Where they are kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._database = workspace.database
        self._clock = SystemClock()

    def create_experiment(
        self, name: str, tags: Mapping[str, str] | None = None, artifacts: str | None = None
    ) -> Experiment:
        """Makes an experiment.

        Raises:
            InvalidInput: If the name, a tag or the artifact location can't be used.
            AlreadyExists: If one has that name, deleted or not.
        """
        limits.check_experiment_name(name)
        root = None if artifacts is None else layout.check_root(artifacts)
        for key, value in (tags or {}).items():
            limits.check_experiment_tag(key, value)
        with self._database.write() as connection:
            return store.add_experiment(connection, name, self._clock.now(), tags or {}, root)

    def experiment(self, number: str) -> Experiment:
        """An experiment by its identifier, deleted or not.

        Raises:
            NotFound: If there is none.
        """
        with self._database.read() as connection:
            return _experiment(connection, number)

    def experiment_named(self, name: str) -> Experiment:
        """An experiment by its name, deleted or not.

        Raises:
            NotFound: If there is none.
        """
        with self._database.read() as connection:
            found = store.find_experiment(connection, name=name)
        if found is None:
            raise NotFound(f"Could not find experiment with name '{name:.80}'")
        return found

    def rename_experiment(self, number: str, name: str) -> None:
        """Gives an experiment another name.

        Raises:
            NotFound: If there is none.
            InvalidInput: If it was deleted, or the name can't be used.
            AlreadyExists: If another one has that name.
        """
        limits.check_experiment_name(name)

        def rename(connection: sa.Connection, found: Experiment) -> Experiment:
            if found.lifecycle == "deleted":
                raise InvalidInput(
                    "a deleted experiment can't be renamed", where=number, fix="restore it first"
                )
            other = store.find_experiment(connection, name=name)
            if other is not None and other.id != number:
                raise store.name_taken(other)
            return msgspec.structs.replace(found, name=name)

        try:
            self._change_experiment(number, rename)
        except sa.exc.IntegrityError:  # somebody else took the name right now
            raise store.name_taken(self.experiment_named(name)) from None

    def delete_experiment(self, number: str) -> None:
        """Deletes an experiment with its runs; they can be restored.

        Raises:
            NotFound: If there is none that isn't deleted.
            InvalidInput: If it is the default one.
        """
        if number == DEFAULT_ID:
            raise InvalidInput("the default experiment can't be deleted", where=number)

        def delete(connection: sa.Connection, found: Experiment) -> Experiment:
            if found.lifecycle == "deleted":
                raise NotFound("the experiment is deleted already", where=number)
            now = self._clock.now()
            store.delete_runs(connection, number, now)
            return msgspec.structs.replace(found, lifecycle="deleted", deleted_at=now)

        self._change_experiment(number, delete)

    def restore_experiment(self, number: str) -> None:
        """Restores a deleted experiment with its runs.

        Raises:
            NotFound: If there is none that is deleted.
        """

        def restore(connection: sa.Connection, found: Experiment) -> Experiment:
            if found.lifecycle == "active":
                raise NotFound("the experiment is not deleted", where=number)
            store.restore_runs(connection, number)
            return msgspec.structs.replace(found, lifecycle="active", deleted_at=None)

        self._change_experiment(number, restore)

    def tag_experiment(self, number: str, key: str, value: str) -> None:
        """Sets an experiment's tag.

        Raises:
            NotFound: If there is no such experiment.
            InvalidInput: If it was deleted, or the tag can't be used.
        """
        limits.check_experiment_tag(key, value)
        self._change_experiment(number, lambda _, found: _tagged(found, {**found.tags, key: value}))

    def untag_experiment(self, number: str, key: str) -> None:
        """Takes a tag from an experiment.

        Raises:
            NotFound: If there is no such experiment, or it has no such tag.
            InvalidInput: If it was deleted.
        """

        def untag(_: sa.Connection, found: Experiment) -> Experiment:
            if key not in found.tags:
                raise NotFound(f"No tag with name: {key:.80} in experiment with id {number}")
            return _tagged(found, {k: v for k, v in found.tags.items() if k != key})

        self._change_experiment(number, untag)

    def _change_experiment(
        self, number: str, change: Callable[[sa.Connection, Experiment], Experiment]
    ) -> None:
        with self._database.write() as connection:
            changed = change(connection, _experiment(connection, number, lock=True))
            changed = msgspec.structs.replace(changed, updated_at=self._clock.now())
            store.update_experiment(connection, changed)

    def search_experiments(
        self,
        where: str = "",
        order: Sequence[str] = (),
        view: Lives = "active_only",
        limit: int = 1000,
        token: str | None = None,
    ) -> search.ExperimentPage:
        """Experiments that fit a filter, page by page; arguments as for :meth:`search_runs`.

        Raises:
            InvalidInput: If one of them can't be used.
        """
        if not 1 <= limit <= MOST:
            raise limits.beyond(limit, MOST)
        filters, keys = parse_experiment_filter(where), parse_experiment_order(order)
        with self._database.read() as connection:
            return search.search_experiments(connection, filters, keys, view, limit, token)

    def datasets(self, experiments: Sequence[str]) -> list[DatasetSummary]:
        """The datasets that runs of experiments used, up to 1,000."""
        with self._database.read() as connection:
            return store.select_datasets(connection, experiments, MOST_DATASETS)


def _experiment(connection: sa.Connection, number: str, *, lock: bool = False) -> Experiment:
    found = store.find_experiment(connection, number, lock=lock)
    if found is None:
        raise NotFound(f"No Experiment with id={number:.80} exists")
    return found


def _check_active(found: Experiment) -> None:
    if found.lifecycle != "active":
        raise InvalidInput("the experiment was deleted", where=found.id, fix="restore it first")


def _tagged(found: Experiment, tags: dict[str, str]) -> Experiment:
    _check_active(found)
    return msgspec.structs.replace(found, tags=tags)
