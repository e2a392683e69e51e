"""Logged models: files with a name that a run made, which can be found, measured and registered."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from treadle.experiment import limits, logged_store, store
from treadle.experiment.grammar import (
    LOGGED_MODELS,
    LoggedModelOrder,
    complete,
    parse_logged_model_filter,
    parse_logged_model_order,
)
from treadle.experiment.logged_search import search
from treadle.experiment.logged_types import (
    DatasetFilter,
    LoggedModel,
    LoggedModelPage,
    LoggedStatus,
    ModelMetric,
)
from treadle.experiment.names import random_name
from treadle.experiment.types import ModelLink, Run
from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.workspace import Workspace

MOST_FOUND, MOST_DATASETS = 1000, 100
HISTORY_TAG = "mlflow.log-model.history"
_NAME_LENGTH, _TEXT_LENGTH = 500, 1_000_000
_NOT_IN_NAMES = frozenset("/:.%\"'\0")


class LoggedModels:
    """The logged models of a workspace.

    Args:
        workspace: Where they are kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._database = workspace.database

    def create(
        self,
        experiment: str,
        *,
        name: str | None = None,
        model_type: str = "",
        run: str = "",
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> LoggedModel:
        """Begins a logged model, whose files are yet to come.

        Raises:
            NotFound: If there is no such experiment.
            InvalidInput: If it was deleted, or something can't be used.
        """
        _check_name(name)
        now, identity = whole_milliseconds(), f"m-{secrets.token_hex(16)}"
        for text, what in ((model_type, "model_type"), (run, "source_run_id")):
            _check_text(text, what)
        with self._database.write() as connection:
            home = store.find_experiment(connection, experiment)
            if home is None:
                raise NotFound(f"No Experiment with id={experiment:.80} exists")
            if home.lifecycle != "active":
                raise InvalidInput("the experiment was deleted", where=home.id, fix="restore it first")
            made = LoggedModel(
                id=identity,
                experiment=experiment,
                name=name or random_name(),
                artifacts=f"{home.artifacts}/models/{identity}/artifacts",
                model_type=model_type,
                run=run,
                created_at=now,
                updated_at=now,
                params=_checked("parameter", params or {}),
                tags=_checked("tag", tags or {}),
            )
            logged_store.insert_model(connection, made)
        return made

    def get(self, identity: str, *, deleted: bool = False) -> LoggedModel:
        """A logged model.

        Args:
            identity: Its identifier.
            deleted: Whether one that was deleted will do.

        Raises:
            NotFound: If there is none.
        """
        with self._database.read() as connection:
            return find_logged_model(connection, identity, deleted=deleted)

    def finalize(self, identity: str, status: LoggedStatus) -> LoggedModel:
        """Says whether a logged model's files are all there.

        Raises:
            NotFound: If there is none.
        """
        with self._database.write() as connection:
            _locked(connection, identity)
            logged_store.update_model(connection, identity, whole_milliseconds(), status=status)
            return find_logged_model(connection, identity, deleted=True)

    def delete(self, identity: str) -> None:
        """Deletes a logged model. Deleting it again changes nothing but the time.

        Raises:
            NotFound: If there is none.
        """
        with self._database.write() as connection:
            _locked(connection, identity)
            now = whole_milliseconds()
            logged_store.update_model(connection, identity, now, lifecycle="deleted", deleted_at=now)

    def restore(self, identity: str) -> None:
        """Restores a deleted logged model. Restoring one that isn't changes nothing but the time.

        Raises:
            NotFound: If there is none.
        """
        with self._database.write() as connection:
            _locked(connection, identity)
            now = whole_milliseconds()
            logged_store.update_model(connection, identity, now, lifecycle="active", deleted_at=None)

    def set_tags(self, identity: str, tags: Mapping[str, str]) -> LoggedModel:
        """Sets tags of a logged model; a later value replaces an earlier one.

        Raises:
            NotFound: If there is none.
            InvalidInput: If a tag can't be used.
        """
        with self._database.write() as connection:
            tag_logged_model(connection, identity, tags)
            return find_logged_model(connection, identity, deleted=True)

    def delete_tag(self, identity: str, name: str) -> None:
        """Takes a tag from a logged model.

        Raises:
            NotFound: If there is none, or it has no such tag.
        """
        with self._database.write() as connection:
            if name not in _locked(connection, identity).tags:
                raise NotFound(f"No tag with key {name!r:.80} found for model with ID {identity!r}.")
            logged_store.delete_tag(connection, identity, name)

    def log_params(self, identity: str, params: Mapping[str, str]) -> None:
        """Adds parameters to a logged model.

        Raises:
            NotFound: If there is none.
            InvalidInput: If one would change, or can't be used.
        """
        new = _checked("parameter", params)
        with self._database.write() as connection:
            limits.check_new_params(new, _locked(connection, identity).params)
            logged_store.put_texts(connection, logged_store.model_params, identity, new)

    def search(
        self,
        experiments: Sequence[str],
        *,
        where: str = "",
        datasets: Sequence[DatasetFilter] = (),
        order: Sequence[LoggedModelOrder] = (),
        limit: int = 100,
        token: str | None = None,
    ) -> LoggedModelPage:
        """Logged models of experiments, newest first unless another order is asked for.

        Raises:
            InvalidInput: If the filter, the order, the limit or the token can't be used.
        """
        if not 1 <= limit <= MOST_FOUND:
            raise InvalidInput(
                f"a page has 1 to {MOST_FOUND} logged models, not {limit}", where="max_results"
            )
        if len(datasets) > MOST_DATASETS:
            raise InvalidInput(
                f"a search names up to {MOST_DATASETS} datasets, not {len(datasets):,}", where="datasets"
            )
        if not all(one.name for one in datasets):
            raise InvalidInput("each dataset needs its `dataset_name`", where="datasets")
        filters = parse_logged_model_filter(where)
        keys = complete(parse_logged_model_order(order), LOGGED_MODELS)
        with self._database.read() as connection:
            return search(
                connection,
                experiments,
                filters=filters,
                datasets=datasets,
                order=keys,
                limit=limit,
                token=token,
            )

    def link(self, run: str, links: Sequence[ModelLink]) -> None:
        """Notes the logged models that a run used or made; noting one again changes nothing.

        Raises:
            NotFound: If there is no such run.
            InvalidInput: If it was deleted.
        """
        with self._database.write() as connection:
            _writable_run(connection, run)
            link_models(connection, run, links)

    def record(self, run: str, entry: Mapping[str, Any]) -> None:
        """Adds a model to a run's history of models, as clients kept it before there were logged models.

        Raises:
            NotFound: If there is no such run.
            InvalidInput: If it was deleted.
        """
        with self._database.write() as connection:
            found = _writable_run(connection, run)
            try:
                known = json.loads(found.tags.get(HISTORY_TAG, "[]"))
            except ValueError:
                known = []
            history = [*known, entry] if isinstance(known, list) else [entry]
            tags = {**found.tags, HISTORY_TAG: json.dumps(history)}
            store.update_run(connection, found, msgspec.structs.replace(found, tags=tags))

    def links(self, runs: Sequence[str]) -> dict[str, list[ModelLink]]:
        """The logged models that runs used and made, by run."""
        with self._database.read() as connection:
            return logged_store.select_links(connection, runs)

    def users(self, model: str, limit: int) -> list[str]:
        """At most so many runs that used a logged model."""
        with self._database.read() as connection:
            return logged_store.select_users(connection, model, limit)


def link_models(connection: sa.Connection, run: str, links: Sequence[ModelLink]) -> None:
    """Notes the logged models that a run, which must be locked, used or made.

    Raises:
        InvalidInput: If an identifier or a step can't be one.
    """
    for one in links:
        _check_text(one.model, "model_id", empty=False)
        limits.check_step(one.step, "step")
    rows = [{"run": run, "kind": one.kind, "model": one.model, "step": one.step} for one in links]
    logged_store.add_once(connection, logged_store.run_models, rows)


def log_model_metrics(connection: sa.Connection, metrics: Sequence[ModelMetric]) -> None:
    """Keeps what runs measured of logged models; exact repetitions change nothing.

    Names, steps and times are taken as checked.

    Raises:
        NotFound: If there is no such logged model.
        InvalidInput: If a dataset's name or digest can't be used.
    """
    names = {one.model for one in metrics}
    unknown = names - logged_store.known_models(connection, names)
    if unknown:
        raise NotFound(f"Logged model with ID '{min(unknown):.80}' not found.")
    for one in metrics:
        _check_text(one.dataset_name, "dataset_name")
        _check_text(one.dataset_digest, "dataset_digest")
    rows = [msgspec.structs.asdict(one) | {"value": limits.clamped(one.value)} for one in metrics]
    logged_store.add_once(connection, logged_store.model_metrics, rows)


def find_logged_model(
    connection: sa.Connection, identity: str, *, deleted: bool = False, lock: bool = False
) -> LoggedModel:
    """A logged model; one that was deleted only if that will do; locked if that is asked for.

    Raises:
        NotFound: If there is none.
    """
    found = None if "\0" in identity else logged_store.find_model(connection, identity, lock=lock)
    if found is None or (found.lifecycle == "deleted" and not deleted):
        raise NotFound(f"Logged model with ID '{identity:.80}' not found.")
    return found


def tag_logged_model(connection: sa.Connection, identity: str, tags: Mapping[str, str]) -> None:
    """Sets tags of a logged model; a later value replaces an earlier one.

    Raises:
        NotFound: If there is none.
        InvalidInput: If a tag can't be used.
    """
    _locked(connection, identity)
    logged_store.put_texts(connection, logged_store.model_tags, identity, _checked("tag", tags))


def whole_milliseconds() -> datetime:
    """Now, in whole milliseconds: all that clients see, so that what they see as equal is equal."""
    now = SystemClock().now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _writable_run(connection: sa.Connection, run: str) -> Run:
    found = store.exact_run(connection, limits.check_run_id(run), lock=True)
    if found is None:
        raise NotFound(f"Run with id={run} not found")
    if found.lifecycle != "active":
        raise limits.deleted_run(run)
    return found


def _locked(connection: sa.Connection, identity: str) -> LoggedModel:
    found = None if "\0" in identity else logged_store.find_model(connection, identity, lock=True)
    if found is None:
        raise NotFound(f"Logged model with ID '{identity:.80}' not found.")
    return found


def _check_name(name: str | None) -> None:
    if name and (len(name) > _NAME_LENGTH or not _NOT_IN_NAMES.isdisjoint(name)):
        raise InvalidInput(
            f"{name!r:.80} can't be the name of a logged model",
            fix=f"use up to {_NAME_LENGTH} characters, without / : . % and quotes",
        )


def _check_text(text: str, where: str, *, empty: bool = True) -> None:
    if "\0" in text or len(text) > _NAME_LENGTH or not (text or empty):
        raise InvalidInput(
            f"{text!r:.80} can't be used", where=where, fix=f"use up to {_NAME_LENGTH} characters"
        )


def _checked(kind: str, texts: Mapping[str, str]) -> dict[str, str]:
    """Parameters or tags themselves, without what Postgres can't keep."""
    for name, value in texts.items():
        if not name or len(name) > limits.KEY_LENGTH or "\0" in name:
            raise InvalidInput(f"the name of a {kind} has 1 to {limits.KEY_LENGTH} characters")
        if len(value) > _TEXT_LENGTH:
            raise InvalidInput(
                f"a {kind} has up to {_TEXT_LENGTH:,} characters, not {len(value):,}", where=name
            )
    return {name: value.replace("\0", "") for name, value in texts.items()}
