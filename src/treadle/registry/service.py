"""Registers versions, moves them through their states, and hands out their files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import sqlalchemy as sa

from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.events import record
from treadle.kernel.names import check_name, unknown
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.registry import rules, store
from treadle.registry.cache import materialise
from treadle.registry.format import LoadedModel
from treadle.registry.types import ModelVersion, NewVersion, Status, Transition

Versions: TypeAlias = list[ModelVersion]
Transitions: TypeAlias = list[Transition]
Names: TypeAlias = list[str]

_KIND: dict[Status, str] = {
    "candidate": "registered",
    "staging": "held",
    "production": "promoted",
    "deprecated": "deprecated",
    "refused": "refused",
    "archived": "archived",
}


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
            known = store.find_version(connection, store.versions.c.run == new.run)
        if known is None:
            self._check_complete(new)
            known = self._add(new)
        if known.model != new.model:
            raise Conflict(f"run {new.run} is registered as {known.ref}", where=new.model)
        return known

    def _check_complete(self, new: NewVersion) -> None:
        problems = rules.problems(new)
        if not problems:
            blobs = {f"file {file.path}": file.digest for file in new.files} | {"the profile": new.profile}
            problems = [
                f"{what} is not in the blob store"
                for what, digest in blobs.items()
                if not self._workspace.blobs.claim(digest)
            ]
        if problems:
            raise InvalidInput(
                f"the version is not complete: {'; '.join(problems)}",
                where=f"{new.model}, run {new.run}",
                fix="register it with everything that it is made of; nothing was registered",
            )

    def _add(self, new: NewVersion) -> ModelVersion:
        at = self._workspace.clock.now()
        with self._database.write() as connection:
            store.lock_model(connection, new.model, at)
            known = store.find_version(connection, store.versions.c.run == new.run)
            if known is not None:
                return known
            version = store.add_version(connection, new, rules.version_id(new), at)
            actor = f"cycle:{new.cycle}" if new.cycle else f"run:{new.run}"
            first = Transition(
                model=new.model,
                number=version.number,
                before=None,
                after="candidate",
                at=at,
                actor=actor,
                reason=f"made by run {new.run}",
            )
            self._write(connection, first, f"register:{new.run}")
            return version

    def get(self, ref: str) -> ModelVersion:
        """A version by ``flights/3``, ``flights@production``, ``flights@latest``, or ``flights``.

        The model's name alone means the version in production, or the latest while there is none.

        Raises:
            NotFound: If there is no such model or version.
            InvalidInput: If the text names no version.
        """
        model, which = rules.parse_ref(ref)
        conditions = [store.versions.c.model == model]
        if isinstance(which, int):
            conditions.append(store.versions.c.number == which)
        elif which == "production":
            conditions.append(store.versions.c.status == "production")
        with self._database.read() as connection:
            version = store.find_version(connection, *conditions)
            if which is None:
                live = store.versions.c.status == "production"
                version = store.find_version(connection, *conditions, live) or version
            if version is None:
                raise self._not_found(connection, model, which)
        return version

    def _not_found(self, connection: sa.Connection, model: str, which: int | str | None) -> NotFound:
        latest = store.find_version(connection, store.versions.c.model == model)
        if latest is None:
            return unknown("model", model, store.model_names(connection))
        if which == "production":
            return NotFound(
                f"no version of {model} is in production",
                fix=f"promote one; the latest is {latest.ref} ({latest.status})",
            )
        return NotFound(f"there is no version {which} of {model}", fix=f"the latest is {latest.ref}")

    def list(self, model: str | None = None) -> Versions:
        """Versions, newest first; of one model, or of all.

        Raises:
            NotFound: If there is no such model.
        """
        with self._database.read() as connection:
            self._check_model(connection, model)
            return store.list_versions(connection, model)

    def models(self) -> Names:
        """The names of all models."""
        with self._database.read() as connection:
            return store.model_names(connection)

    def _check_model(self, connection: sa.Connection, model: str | None) -> None:
        # The project's own model is known before its first version is.
        if model is not None and model != self._workspace.config.model:
            names = store.model_names(connection)
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

    def stage(self, model: str, number: int, actor: str, reason: str, key: str) -> Transitions:
        """Marks a candidate as waiting for approval.

        Raises:
            NotFound: If there is no such version.
            Conflict: If it is no candidate.
        """
        return self._move(model, number, "staging", actor, reason, key)

    def refuse(self, model: str, number: int, actor: str, reason: str, key: str) -> Transitions:
        """Marks a candidate as refused by the gate.

        Raises:
            NotFound: If there is no such version.
            Conflict: If it is no candidate.
        """
        return self._move(model, number, "refused", actor, reason, key)

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
            store.lock_model(connection, model)
            done = store.read_transitions(connection, model, key)
            if done:
                if (done[-1].number, done[-1].after) != (number, after):
                    raise Conflict(
                        f"key {key!r} was used to make {model}/{done[-1].number} {done[-1].after}",
                        where=f"{model}/{number}",
                    )
                return done
            wanted = store.find_version(
                connection, store.versions.c.model == model, store.versions.c.number == number
            )
            if wanted is None:
                raise self._not_found(connection, model, number)
            if wanted.status == after:
                return []
            rules.check_move(wanted, after)
            if check is not None:
                check(connection, wanted)
            moves: list[tuple[ModelVersion, Status, str]] = [(wanted, after, reason)]
            live = self._live(connection, model) if after == "production" else None
            if live is not None:
                # The old one goes first: the database itself allows one in production.
                moves.insert(0, (live, "deprecated", f"replaced by {wanted.ref}"))
            return [
                self._apply(connection, version, status, actor, why, key, override=override)
                for version, status, why in moves
            ]

    def _apply(
        self,
        connection: sa.Connection,
        version: ModelVersion,
        after: Status,
        actor: str,
        reason: str,
        key: str,
        *,
        override: bool,
    ) -> Transition:
        rules.check_move(version, after)
        approved_by = actor if after == "production" else version.approved_by
        store.set_status(connection, version, after, approved_by)
        transition = Transition(
            model=version.model,
            number=version.number,
            before=version.status,
            after=after,
            at=self._workspace.clock.now(),
            actor=actor,
            reason=reason,
            override=override and after == "production",
        )
        self._write(connection, transition, key)
        return transition

    def _write(self, connection: sa.Connection, transition: Transition, key: str) -> None:
        seq = store.add_transition(connection, transition, key)
        model, ref = transition.model, f"{transition.model}/{transition.number}"
        facts = {"version": ref, "before": transition.before or "", "after": transition.after}
        if transition.override:
            facts["override"] = "true"
        verb = _KIND[transition.after] + (" against its gate" if transition.override else "")
        event = Event(
            id=f"registry:{model}:{seq}",
            at=transition.at,
            recorded_at=SystemClock().now(),
            subject=f"model:{model}",
            kind=_KIND[transition.after],
            actor=transition.actor,
            message=f"{ref} {verb}: {transition.reason}",
            facts=facts,
        )
        record(connection, event)

    @staticmethod
    def _live(connection: sa.Connection, model: str) -> ModelVersion | None:
        return store.find_version(
            connection, store.versions.c.model == model, store.versions.c.status == "production"
        )

    def _done(self, model: str, key: str) -> bool:
        with self._database.read() as connection:
            return bool(store.read_transitions(connection, model, key))

    # ── history ──────────────────────────────────────────────────────────

    def production(self, model: str, at: datetime | None = None) -> ModelVersion | None:
        """What is in production now, or was at a moment; None if nothing.

        The status of what it returns is today's.
        """
        with self._database.read() as connection:
            if at is None:
                return self._live(connection, model)
            number = rules.in_production(store.read_transitions(connection, model), at)
            if number is None:
                return None
            return store.find_version(
                connection, store.versions.c.model == model, store.versions.c.number == number
            )

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
