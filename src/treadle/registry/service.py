"""Registers versions, moves them through their states, and hands out their files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import sqlalchemy as sa

from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.names import check_name, unknown
from treadle.kernel.workspace import Workspace
from treadle.registry import catalog_store, guards, rules, store
from treadle.registry.cache import materialise
from treadle.registry.catalog_source import storage_of_run
from treadle.registry.catalog_types import CatalogVersion
from treadle.registry.changing import enter, move
from treadle.registry.format import LoadedModel
from treadle.registry.types import ModelVersion, NewVersion, Status, Transition

Versions: TypeAlias = list[ModelVersion]
Transitions: TypeAlias = list[Transition]
Names: TypeAlias = list[str]

FOLDER = "model"
"""Where a run has the files of the model that it made."""


def _made_by(run: str) -> tuple[sa.ColumnElement[bool], ...]:
    return store.versions.c.run == run, store.versions.c.origin == "treadle"


class Registry:
    """The models of a workspace.

    Every change is made once for each ``key`` that the caller supplies: calling again
    with the same key returns what was done then.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._database = workspace.database

    # ── versions ─────────────────────────────────────────────────────────

    def register(self, new: NewVersion) -> ModelVersion:
        """Registers what a run made, as a candidate, under the model's next number.

        A run is registered once; again gives the version that it became.

        Raises:
            InvalidInput: If anything is missing; names all of it.
            Conflict: If the run was registered as another model.
        """
        check_name("model", new.model)
        with self._database.read() as connection:
            known = store.find_version(connection, *_made_by(new.run))
        if known is None:
            self._check_complete(new)
            known = self._added(new)
        if known.model != new.model:
            raise Conflict(f"run {new.run} is registered as {known.ref}", where=new.model)
        return known

    def _check_complete(self, new: NewVersion) -> None:
        required = self._workspace.config.registry.require
        problems = rules.problems(new, rules.OWN if required is None else required)
        if not problems:
            blobs = {f"file {file.path}": file.digest for file in new.files}
            blobs |= {"the profile": new.profile} if new.profile else {}
            problems = [
                f"{what} is not in the blob store"
                for what, digest in blobs.items()
                if not self._workspace.blobs.claim(digest)
            ]
        if problems:
            raise InvalidInput(
                f"the version is not complete: {'; '.join(problems)}",
                where=f"{new.model}, run {new.run}",
                fix="give it what is missing, or ask for less in [registry] require of treadle.toml;"
                " nothing was registered",
            )

    def _added(self, new: NewVersion) -> ModelVersion:
        try:
            return self._add(new)
        except sa.exc.IntegrityError:  # the run has just become a version of another model
            with self._database.read() as connection:
                known = store.find_version(connection, *_made_by(new.run))
            if known is None:
                raise
            return known

    def _add(self, new: NewVersion) -> ModelVersion:
        at = self._workspace.clock.now()
        with self._database.write() as connection:
            catalog_store.hold_model(connection, new.model, at)
            known = store.find_version(connection, *_made_by(new.run))
            if known is not None:
                return known
            number = catalog_store.next_number(connection, new.model)
            entry = CatalogVersion(
                model=new.model,
                number=number,
                created_at=at,
                updated_at=at,
                description=new.description,
                source=f"runs:/{new.run}/{FOLDER}",
                storage=storage_of_run(connection, new.run, FOLDER),
                run=new.run,
            )
            enter(
                connection,
                entry,
                new,
                identity=rules.version_id(new),
                origin="treadle",
                governed=True,
                actor=f"cycle:{new.cycle}" if new.cycle else f"run:{new.run}",
                reason=f"made by run {new.run}",
                key=f"register:{new.run}",
            )
            catalog_store.update_model(connection, new.model, at)
            return self._need(connection, new.model, number)

    def get(self, ref: str) -> ModelVersion:
        """A version by ``flights/3``, ``flights@production``, ``flights@latest``, or ``flights``.

        The model's name alone means the version in production, or the latest while there is none.

        Raises:
            NotFound: If there is no such model or version.
            InvalidInput: If the text names no version.
        """
        model, which = rules.parse_ref(ref)
        with self._database.read() as connection:
            if isinstance(which, int):
                return self._need(connection, model, which)
            mine = store.versions.c.model == model
            if which in {None, "production"}:
                newest = store.versions.c.status == "production"
                version = self._live(connection, model) or store.find_version(connection, mine, newest)
                if version is not None:
                    return version
            if which in {None, "latest"}:
                version = store.find_version(connection, mine)
                if version is not None:
                    return version
            number = catalog_store.aliased(connection, model, str(which)) if which else None
            if number is None or which in rules.ALIASES:
                raise self._not_found(connection, model, which)
            return self._need(connection, model, number)

    def _need(self, connection: sa.Connection, model: str, number: int) -> ModelVersion:
        found = store.find_version(
            connection, store.versions.c.model == model, store.versions.c.number == number
        )
        if found is None:
            raise self._not_found(connection, model, number)
        return found

    def _not_found(self, connection: sa.Connection, model: str, which: int | str | None) -> NotFound:
        latest = store.find_version(connection, store.versions.c.model == model)
        if latest is None:
            names = catalog_store.model_names(connection)
            if model in names:
                return NotFound(f"{model} has no version yet", fix="register one")
            return unknown("model", model, names)
        if which == "production":
            return NotFound(
                f"no version of {model} is in production",
                fix=f"promote one; the latest is {latest.ref} ({latest.status})",
            )
        if isinstance(which, str):
            entry = catalog_store.find_model(connection, model)
            aliases = [*(entry.aliases if entry else {}), *rules.ALIASES]
            return unknown(f"alias of {model}", which, aliases)
        return NotFound(f"there is no version {which} of {model}", fix=f"the latest is {latest.ref}")

    def list(self, model: str | None = None) -> Versions:
        """Versions, newest first; of one model, or of all.

        Raises:
            NotFound: If there is no such model.
        """
        with self._database.read() as connection:
            self._check_model(connection, model)
            if model is None:
                return store.list_versions(connection)
            return store.list_versions(connection, store.versions.c.model == model)

    def models(self) -> Names:
        """The names of all models."""
        with self._database.read() as connection:
            return catalog_store.model_names(connection)

    def check_model(self, model: str) -> None:
        """Whether there is such a model: the project's own, or one with versions.

        Raises:
            NotFound: If there isn't; with the nearest name.
        """
        with self._database.read() as connection:
            self._check_model(connection, model)

    def _check_model(self, connection: sa.Connection, model: str | None) -> None:
        # The project's own model is known before its first version is.
        if model is not None and model != self._workspace.config.model:
            names = catalog_store.model_names(connection)
            if model not in names:
                raise unknown("model", model, names)

    # ── status ───────────────────────────────────────────────────────────

    def promote(
        self,
        model: str,
        number: int,
        actor: str,
        reason: str,
        key: str,
        *,
        outcome: str,
        override: bool = False,
        expect: int | None = None,
        last_look: Callable[[sa.Connection], None] | None = None,
    ) -> Transitions:
        """Puts a version into production; the one that was there becomes deprecated.

        Promoting what is in production already changes nothing.

        Args:
            model: The model.
            number: The version.
            actor: Who decides.
            reason: Why.
            key: The decision's identity.
            outcome: What the version's evaluation came to: pass, warn, inconclusive or fail.
            override: Promote it whatever its outcome; recorded as such.
            expect: Only if this version is in production now; 0: only if none is.
            last_look: Raises if it may not be, in the transaction that would write it.

        Returns:
            The transitions made, the deprecation first.

        Raises:
            NotFound: If there is no such version.
            Refused: If it neither passed nor is overridden.
            Conflict: If its status forbids it, or another version than expected is in production.
        """

        def check(connection: sa.Connection, version: ModelVersion) -> None:
            live = self._live(connection, model)
            rules.check_expected(version, live.number if live else None, expect)
            rules.check_outcome(version, outcome, reason, override=override)
            self._check_guard(connection, version, "production", outcome)
            if last_look is not None:
                last_look(connection)

        overridden = override and outcome not in rules.PASSING
        return self._move(model, number, "production", actor, reason, key, check, override=overridden)

    def approve(
        self,
        model: str,
        number: int,
        actor: str,
        reason: str,
        key: str,
        *,
        outcome: str,
        override: bool = False,
        expect: int | None = None,
    ) -> Transitions:
        """Lets a version that waits for approval into production, as :meth:`promote` does.

        Raises:
            NotFound: If there is no such version.
            Refused: If it neither passed nor is overridden.
            Conflict: If it doesn't wait (it is neither staging, candidate nor in production).
        """
        version = self.get(f"{model}/{number}")
        if version.status not in {"candidate", "staging", "production"} and not self._done(model, key):
            raise Conflict(
                f"it does not wait for approval: it is {version.status}",
                where=version.ref,
                fix="deploy it, if you want it back" if version.status == "deprecated" else None,
            )
        return self.promote(
            model, number, actor, reason, key, outcome=outcome, override=override, expect=expect
        )

    def stage(
        self,
        model: str,
        number: int,
        actor: str,
        reason: str,
        key: str,
        *,
        to: str = "staging",
        outcome: str = "",
    ) -> Transitions:
        """Moves a version to a stage before production.

        Args:
            model: The model.
            number: The version.
            actor: Who decides.
            reason: Why.
            key: The decision's identity.
            to: The stage, which comes next after where the version is.
            outcome: What the version's evaluation came to.

        Raises:
            NotFound: If there is no such version.
            Refused: If it lacks what the stage takes.
            Conflict: If that isn't its next stage.
        """

        def check(connection: sa.Connection, version: ModelVersion) -> None:
            self._check_guard(connection, version, to, outcome)

        return self._move(model, number, to, actor, reason, key, check)

    def check_guard(self, version: ModelVersion, stage: str, outcome: str) -> None:
        """Checks that a version has what a stage takes.

        Raises:
            Refused: With all that is missing.
        """
        with self._database.read() as connection:
            self._check_guard(connection, version, stage, outcome)

    def _check_guard(
        self, connection: sa.Connection, version: ModelVersion, stage: str, outcome: str
    ) -> None:
        given = store.read_approvals(connection, version.model, version.number)
        guards.check_guard(
            self._workspace.config, version, stage, given, store.makers_of(connection, version), outcome
        )

    def refuse(self, model: str, number: int, actor: str, reason: str, key: str) -> Transitions:
        """Marks a candidate as refused, by the gate or by a person who was asked to approve it.

        Raises:
            NotFound: If there is no such version.
            Conflict: If it is no candidate.
        """
        return self._move(model, number, "refused", actor, reason, key)

    def check_move(self, version: ModelVersion, after: Status) -> None:
        """Checks that a version's status can change.

        Raises:
            Conflict: With what can be done instead.
        """
        rules.check_move(version, after, guards.moves(self._workspace.config))

    @staticmethod
    def check_outcome(version: ModelVersion, outcome: str) -> None:
        """Checks that a version's gate let it pass.

        Raises:
            Refused: If it didn't.
        """
        rules.check_outcome(version, outcome, "", override=False)

    def archive(self, model: str, number: int, actor: str, reason: str, key: str) -> Transitions:
        """Puts a version away for good.

        Raises:
            NotFound: If there is no such version.
            Conflict: If it is in production.
        """
        return self._move(model, number, "archived", actor, reason, key)

    def _move(
        self,
        model: str,
        number: int,
        after: Status,
        actor: str,
        reason: str,
        key: str,
        check: Callable[[sa.Connection, ModelVersion], None] | None = None,
        *,
        override: bool = False,
    ) -> Transitions:
        with self._database.write() as connection:
            catalog_store.lock_model(connection, model)
            done = store.read_transitions(connection, model, key)
            if done:
                if (done[-1].number, done[-1].after) != (number, after):
                    raise Conflict(
                        f"key {key!r} was used to make {model}/{done[-1].number} {done[-1].after}",
                        where=f"{model}/{number}",
                    )
                return done
            wanted = self._need(connection, model, number)
            if wanted.status == after:
                return []
            rules.check_move(wanted, after, guards.moves(self._workspace.config))
            if check is not None:
                check(connection, wanted)
            moves: list[tuple[ModelVersion, Status, str]] = [(wanted, after, reason)]
            if after == "production":
                # The old ones go first: the database itself allows one that Treadle has in production.
                there = (store.versions.c.model == model, store.versions.c.status == "production")
                others = store.list_versions(connection, *there)
                moves = [(one, "deprecated", f"replaced by {wanted.ref}") for one in others] + moves
            at = self._workspace.clock.now()
            return [
                move(
                    connection,
                    version,
                    status,
                    at=at,
                    actor=actor,
                    reason=why,
                    key=key,
                    governed=version.governed or status == "production",
                    override=override,
                )
                for version, status, why in moves
            ]

    @staticmethod
    def _live(connection: sa.Connection, model: str) -> ModelVersion | None:
        return store.find_version(connection, store.versions.c.model == model, store.LIVE)

    def _done(self, model: str, key: str) -> bool:
        with self._database.read() as connection:
            return bool(store.read_transitions(connection, model, key))

    # ── history ──────────────────────────────────────────────────────────

    def production(self, model: str, at: datetime | None = None) -> ModelVersion | None:
        """What Treadle has in production now, or had at a moment; None if nothing.

        What an MLflow client alone put there isn't meant: :meth:`in_production` has that too.
        The status of what it returns is today's.
        """
        if at is None:
            with self._database.read() as connection:
                return self._live(connection, model)
        return next((one for one in self.in_production(model, at) if one.governed), None)

    def in_production(self, model: str, at: datetime) -> Versions:
        """Every version that was in production at a moment, whoever put it there, the last one first.

        One that was deleted since isn't among them. The status of what it returns is today's.
        """
        with self._database.read() as connection:
            numbers = rules.in_production(store.read_transitions(connection, model), at)
            mine = store.versions.c.model == model
            known = {one.number: one for one in store.list_versions(connection, mine)} if numbers else {}
        return [known[number] for number in reversed(numbers) if number in known]

    def history(self, model: str) -> Transitions:
        """Every change of status of a model's versions, in the order in which they were made.

        Raises:
            NotFound: If there is no such model.
        """
        with self._database.read() as connection:
            self._check_model(connection, model)
            return store.read_transitions(connection, model)

    # ── files ────────────────────────────────────────────────────────────

    def fetch(self, version: ModelVersion, folder: Path | None = None) -> Path:
        """A folder with the model's files, each checked against its digest.

        Safe to call from several threads and processes at once; files that are there
        and unchanged since they were checked aren't read again.

        Args:
            version: The version.
            folder: Where; in the workspace's cache when left out.

        Raises:
            NotFound: If a file isn't in the blob store.
            CorruptData: If what the blob store holds isn't what was registered.
        """
        target = folder or self._workspace.state / "cache" / "models" / version.id
        return materialise(self._workspace.blobs, version.files, target)

    def load(self, version: ModelVersion) -> LoadedModel:
        """The model, ready to predict.

        Raises:
            ModelInvalid: If it can't be loaded or contradicts its signature.
            CorruptData: If what the blob store holds isn't what was registered.
        """
        return LoadedModel.load(self.fetch(version))
