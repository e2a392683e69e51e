"""The catalogue: registered models and versions as MLflow's clients make and find them.

They are the same versions that :class:`treadle.registry.Registry` has, in MLflow's words: a stage is
how a client sees a status. A version that an MLflow client registered moves between stages as freely
as MLflow's do, until Treadle puts it to work; what Treadle made or runs moves by its guards only, and
is neither renamed nor deleted from here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import msgspec
import sqlalchemy as sa

from treadle.experiment import find_logged_model, limits, tag_logged_model, whole_milliseconds
from treadle.experiment.grammar import (
    MODELS,
    VERSIONS,
    complete,
    parse_model_filter,
    parse_model_order,
    parse_version_filter,
    parse_version_order,
)
from treadle.kernel.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from treadle.kernel.workspace import Workspace
from treadle.registry import catalog_rules as rules
from treadle.registry import catalog_store as store
from treadle.registry import store as registry_store
from treadle.registry.catalog_search import search_models, search_versions
from treadle.registry.catalog_source import number_of, resolve
from treadle.registry.catalog_types import (
    CatalogModel,
    CatalogModelPage,
    CatalogVersion,
    CatalogVersionPage,
    NewCatalogVersion,
    Stage,
)
from treadle.registry.changing import MLFLOW, enter, move, write
from treadle.registry.gathering import gather
from treadle.registry.rules import STATUS_OF, lacks, version_id
from treadle.registry.types import NewVersion, Origin, Transition

MOST_MODELS, MOST_VERSIONS = 1000, 200_000
_VERSIONS_TAG = "mlflow.modelVersions"


class Catalog:
    """The catalogue of a workspace.

    Args:
        workspace: Where it is kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._database = workspace.database
        self._ids = workspace.ids

    # ── registered models ────────────────────────────────────────────────

    def create_model(
        self, name: str, *, description: str = "", tags: Mapping[str, str] | None = None
    ) -> CatalogModel:
        """Registers a model.

        Raises:
            InvalidInput: If the name or a tag can't be used.
            AlreadyExists: If one has that name.
        """
        rules.check_model_name(name)
        rules.refuse_prompt(tags or {})
        checked = rules.check_tags(tags or {})
        about = rules.check_text(description, "description")
        with self._database.write() as connection:
            if not store.insert_model(connection, name, whole_milliseconds(), about):
                raise _taken(name)
            store.put_model_tags(connection, name, checked)
            return _model(connection, name)

    def model(self, name: str) -> CatalogModel:
        """A registered model.

        Raises:
            NotFound: If there is none.
        """
        rules.check_model_name(name)
        with self._database.read() as connection:
            return _model(connection, name)

    def describe_model(self, name: str, description: str) -> CatalogModel:
        """Replaces the words about a registered model.

        Raises:
            NotFound: If there is none.
        """
        about = rules.check_text(description, "description")
        with self._changing(name) as (connection, now):
            store.update_model(connection, name, now, description=about)
            return _model(connection, name)

    def rename_model(self, name: str, new: str) -> CatalogModel:
        """Gives a registered model another name, which its versions follow.

        Raises:
            NotFound: If there is none.
            InvalidInput: If the name can't be used.
            AlreadyExists: If another one has it.
            Conflict: If Treadle made or runs a version of it: deployments and predictions name it.
        """
        rules.check_model_name(new, "new_name")
        try:
            with self._changing(name) as (connection, now):
                _check_free(connection, name, "renamed")
                store.rename_model(connection, name, new, now)
                return _model(connection, new)
        except sa.exc.IntegrityError:
            raise _taken(new) from None

    def delete_model(self, name: str) -> None:
        """Deletes a registered model with its versions.

        Raises:
            NotFound: If there is none.
            Conflict: If Treadle made or runs a version of it.
        """
        with self._changing(name) as (connection, _):
            _check_free(connection, name, "deleted")
            store.delete_model(connection, name)

    def search_models(
        self, where: str = "", order: Sequence[str] = (), limit: int = 100, token: str | None = None
    ) -> CatalogModelPage:
        """Registered models, by name unless another order is asked for.

        Raises:
            InvalidInput: If the filter, the order, the limit or the token can't be used.
        """
        _check_limit(limit, MOST_MODELS)
        filters, keys = parse_model_filter(where), complete(parse_model_order(order), MODELS)
        with self._database.read() as connection:
            return search_models(connection, filters, keys, limit, token)

    def latest(self, name: str, stages: Sequence[str] = ()) -> list[CatalogVersion]:
        """The newest version in each of some stages, or in every stage.

        Raises:
            NotFound: If there is no such model.
            InvalidInput: If there is no such stage.
        """
        wanted = {rules.check_stage(stage) for stage in stages} or set(rules.STAGES)
        return [version for version in self.model(name).latest if version.stage in wanted]

    def tag_model(self, name: str, key: str, value: str) -> None:
        """Sets a tag of a registered model.

        Raises:
            NotFound: If there is none.
            InvalidInput: If the tag can't be used.
        """
        rules.refuse_prompt({key: value})
        checked = rules.check_tags({key: value})
        with self._changing(name) as (connection, _):
            store.put_model_tags(connection, name, checked)

    def untag_model(self, name: str, key: str) -> None:
        """Takes a tag from a registered model, if it has it.

        Raises:
            NotFound: If there is no such model.
            InvalidInput: If the key can't be a tag's.
        """
        rules.check_tags({key: ""})
        with self._changing(name) as (connection, _):
            store.delete_rows(connection, store.model_tags, model=name, name=key)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Lets an alias name a version; it then names no other.

        Raises:
            NotFound: If there is no such version.
            InvalidInput: If the alias can't be used.
        """
        rules.check_alias(alias, new=True)
        number = rules.check_version(version)
        with self._changing(name, number) as (connection, _):
            store.put_alias(connection, name, alias, number)

    def delete_alias(self, name: str, alias: str) -> None:
        """Takes an alias away, if the model has it.

        Raises:
            NotFound: If there is no such model.
            InvalidInput: If it can't be an alias.
        """
        rules.check_alias(alias, new=False)
        with self._changing(name) as (connection, _):
            store.delete_rows(connection, store.aliases, model=name, alias=alias)

    # ── versions ─────────────────────────────────────────────────────────

    def create_version(
        self, new: NewCatalogVersion, *, origin: Origin = "mlflow", actor: str = MLFLOW, reason: str = ""
    ) -> CatalogVersion:
        """Registers a version of a model under its next number, with all that is known of it.

        Args:
            new: The version.
            origin: By which door it comes; what a person registers is governed at once.
            actor: Who registers it.
            reason: Why, in the history.

        Raises:
            NotFound: If there is no such model, or none of what the source names.
            InvalidInput: If the source is a path, or lies outside of the run or the logged model
                that it is said to be of, something else can't be used, or it lacks what
                ``[registry] require`` asks for.
        """
        rules.refuse_prompt(new.tags)
        tags = rules.check_tags(new.tags)
        about, link = (
            rules.check_text(new.description, "description"),
            rules.check_text(new.run_link, "run_link"),
        )
        known = self._gather(new, tags, about)
        with self._changing(new.model) as (connection, now):
            found = resolve(connection, new)
            version = CatalogVersion(
                model=new.model,
                number=store.next_number(connection, new.model),
                created_at=now,
                updated_at=now,
                description=about,
                source=found.source,
                storage=found.storage,
                run=found.run,
                run_link=link,
                logged_model=found.logged,
                tags=tags,
            )
            enter(
                connection,
                version,
                known,
                identity=version_id(known) if known.files else "",
                origin=origin,
                governed=origin != "mlflow" or self._workspace.config.registry.govern == "all",
                actor=actor,
                reason=reason or "registered by an MLflow client",
                key=self._ids.new("register"),
            )
            store.update_model(connection, new.model, now)
            if found.logged:
                entry = {"name": version.model, "version": version.number}
                # Read again, locked: under another model it may be registered right now as well.
                logged = find_logged_model(connection, found.logged, deleted=True, lock=True)
                value = _with_entry(logged.tags.get(_VERSIONS_TAG), entry)
                tag_logged_model(connection, found.logged, {_VERSIONS_TAG: value})
            return version

    def _gather(self, new: NewCatalogVersion, tags: Mapping[str, str], about: str) -> NewVersion:
        """What is known of a version; read before the transaction, for it may take a while."""
        rules.check_model_name(new.model)
        with self._database.read() as connection:
            _model(connection, new.model)
            found = resolve(connection, new)
        spec = gather(self._workspace, new.model, found, tags)
        known = NewVersion(model=new.model, run=found.run, description=about, **msgspec.structs.asdict(spec))
        lacking = lacks(known, self._workspace.config.registry.require or ())
        if lacking:
            raise InvalidInput(
                f"the version is not complete: {'; '.join(lacking)}",
                where=new.model,
                fix="[registry] require of treadle.toml asks for it; nothing was registered",
            )
        return known

    def version(self, name: str, version: str) -> CatalogVersion:
        """A version of a registered model.

        Raises:
            NotFound: If there is none.
            InvalidInput: If the number isn't one.
        """
        rules.check_model_name(name)
        number = rules.check_version(version)
        with self._database.read() as connection:
            return _version(connection, name, number)

    def version_of_alias(self, name: str, alias: str) -> CatalogVersion:
        """The version that an alias names; ``latest`` is the one with the highest number.

        Raises:
            NotFound: If there is no such model, or it has no version yet.
            InvalidInput: If the model has no such alias.
        """
        rules.check_model_name(name)
        rules.check_alias(alias, new=False)
        with self._database.read() as connection:
            _model(connection, name)
            return _version(connection, name, number_of(connection, name, alias))

    def describe_version(self, name: str, version: str, description: str) -> CatalogVersion:
        """Replaces the words about a version.

        Raises:
            NotFound: If there is none.
        """
        about, number = rules.check_text(description, "description"), rules.check_version(version)
        with self._changing(name, number) as (connection, now):
            store.update_version(connection, name, number, now, description=about)
            return _version(connection, name, number)

    def move_version(self, name: str, version: str, stage: str, *, archive: bool = False) -> CatalogVersion:
        """Puts a version into a stage.

        Args:
            name: The registered model.
            version: The version's number.
            stage: The stage, however its letters are written.
            archive: Whether those that are in the stage already go to the archive.

        Raises:
            NotFound: If there is no such version.
            InvalidInput: If there is no such stage, or nothing can be archived for it.
            Conflict: If this version, or one that would be archived, moves by its guards only.
        """
        number, wanted = rules.check_version(version), rules.check_stage(stage)
        if archive:
            rules.check_archiving(wanted)
        with self._changing(name, number) as (connection, now):
            key = self._ids.new("move")
            there = [one for one in store.in_stage(connection, name, wanted) if one != number]
            for other in there if archive else ():
                self._move(connection, name, other, "Archived", f"replaced by {name}/{number}", key, now)
            self._move(connection, name, number, wanted, f"moved to {wanted} by an MLflow client", key, now)
            store.update_model(connection, name, now)
            return _version(connection, name, number)

    @staticmethod
    def _move(
        connection: sa.Connection, name: str, number: int, stage: Stage, reason: str, key: str, now: datetime
    ) -> None:
        version = registry_store.find_version(
            connection, registry_store.versions.c.model == name, registry_store.versions.c.number == number
        )
        assert version is not None  # noqa: S101 - every version has a row in both tables
        if version.governed:
            raise Conflict(
                f"{version.ref} is {version.status}, and an MLflow client can't make it {stage}",
                where=version.ref,
                fix="Treadle made it or runs it: promote another version with `treadle models approve`",
            )
        after = STATUS_OF[stage]
        if version.status == after:
            store.update_version(connection, name, number, now, stage=stage)
        else:
            move(connection, version, after, at=now, actor=MLFLOW, reason=reason, key=key, governed=False)

    def delete_version(self, name: str, version: str) -> None:
        """Deletes a version with its tags and aliases; its number is never given again.

        Its history stays.

        Raises:
            NotFound: If there is none.
            Conflict: If Treadle made it or runs it.
        """
        number = rules.check_version(version)
        with self._changing(name, number) as (connection, now):
            table = registry_store.versions
            known = registry_store.find_version(connection, table.c.model == name, table.c.number == number)
            assert known is not None  # noqa: S101 - as above
            if known.governed:
                raise Conflict(
                    "a version that Treadle made or runs isn't deleted: what it did must stay known",
                    where=known.ref,
                    fix=f"treadle models archive {known.ref} --reason TEXT",
                )
            store.delete_version(connection, name, number)
            last = Transition(
                model=name,
                number=number,
                before=known.status,
                after="deleted",
                at=now,
                actor=MLFLOW,
                reason="deleted by an MLflow client",
            )
            write(connection, last, self._ids.new("delete"))
            store.update_model(connection, name, now)

    def search_versions(
        self, where: str = "", order: Sequence[str] = (), limit: int = 10_000, token: str | None = None
    ) -> CatalogVersionPage:
        """Versions of all models, those changed last first unless another order is asked for.

        Raises:
            InvalidInput: If the filter, the order, the limit or the token can't be used.
        """
        _check_limit(limit, MOST_VERSIONS)
        filters, keys = parse_version_filter(where), complete(parse_version_order(order), VERSIONS)
        with self._database.read() as connection:
            return search_versions(connection, filters, keys, limit, token)

    def tag_version(self, name: str, version: str, key: str, value: str) -> None:
        """Sets a tag of a version.

        Raises:
            NotFound: If there is none.
            InvalidInput: If the tag can't be used.
        """
        number, checked = rules.check_version(version), rules.check_tags({key: value})
        with self._changing(name, number) as (connection, _):
            store.put_version_tags(connection, name, number, checked)

    def untag_version(self, name: str, version: str, key: str) -> None:
        """Takes a tag from a version, if it has it.

        Raises:
            NotFound: If there is no such version.
            InvalidInput: If the key can't be a tag's.
        """
        rules.check_tags({key: ""})
        number = rules.check_version(version)
        with self._changing(name, number) as (connection, _):
            store.delete_rows(connection, store.version_tags, model=name, number=number, name=key)

    @contextmanager
    def _changing(self, name: str, number: int | None = None) -> Iterator[tuple[sa.Connection, datetime]]:
        """A change of a model, or of one of its versions, that nobody else changes meanwhile."""
        rules.check_model_name(name)
        with self._database.write() as connection:
            found = store.lock_model(connection, name)
            if number is not None:
                _version(connection, name, number)
            elif not found:
                raise NotFound(f"Registered Model with name={name:.80} not found")
            yield connection, whole_milliseconds()


def _model(connection: sa.Connection, name: str) -> CatalogModel:
    found = store.find_model(connection, name)
    if found is None:
        raise NotFound(f"Registered Model with name={name:.80} not found")
    return found


def _version(connection: sa.Connection, name: str, number: int) -> CatalogVersion:
    found = store.find_version(connection, name, number)
    if found is None:
        raise NotFound(f"Model Version (name={name:.80}, version={number}) not found")
    return found


def _check_free(connection: sa.Connection, name: str, done: str) -> None:
    if registry_store.is_governed(connection, name):
        raise Conflict(
            f"{name!r:.80} can't be {done}: it has versions that Treadle made or runs",
            where=name[:80],
            fix="deployments, predictions and cycles know it by this name; archive its versions instead",
        )


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists(f"Registered Model (name={name:.80}) already exists", fix="choose another name")


def _check_limit(limit: int, most: int) -> None:
    if not 1 <= limit <= most:
        raise limits.beyond(limit, most)


def _with_entry(known: str | None, entry: Mapping[str, object]) -> str:
    """The list of a logged model's versions with one more; what isn't a list begins anew."""
    try:
        entries = json.loads(known or "[]")
    except ValueError:
        entries = []
    entries = entries if isinstance(entries, list) else []
    return json.dumps([*(one for one in entries if one != entry), entry])
