"""Whether a version may come into an environment, and what each environment serves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from treadle.deploy import minutes, store
from treadle.deploy.environments import (
    Environment,
    check_actor,
    check_lacks,
    declared_environments,
    environment,
    lacks,
    stretches,
)
from treadle.deploy.types import Counts, InEnvironment, Revision, Stretch
from treadle.kernel.errors import Conflict
from treadle.kernel.workspace import Workspace
from treadle.registry import ModelVersion, Registry

_ALIVE = timedelta(seconds=30)
_GONE = frozenset({"refused", "archived"})


class Environments:
    """The environments of a workspace.

    Args:
        workspace: Where.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._config = workspace.config

    def admit(self, name: str, version: ModelVersion, actor: str | None = None) -> None:
        """Checks that a version may come into an environment.

        One that has served there before may come back without being asked again.

        Args:
            name: The environment; empty for the last one.
            version: The version.
            actor: Who asks; None where nobody does, as when a cycle delivers what it made.

        Raises:
            NotFound: If there is no such environment.
            Refused: With who may deploy there, or all that the version lacks.
            Conflict: If the version was refused or archived.
        """
        to = environment(self._config, name)
        if actor is not None:
            check_actor(self._config, to, actor, version.ref)
        if to.key and version.status in _GONE:
            raise Conflict(f"it is {version.status} and can't go to {to.name}", where=version.ref)
        if not any(one.version == version.number for one in self._stretches(version.model, to)):
            tried = self._tried(to, version) is not None
            check_lacks(to, version, self._lacks(to, version), tried=tried)

    def lacks(self, name: str, version: ModelVersion) -> list[str]:
        """What a version lacks to come into an environment, in words.

        Raises:
            NotFound: If there is no such environment.
        """
        return self._lacks(environment(self._config, name), version)

    def everywhere(self, model: str, at: datetime | None = None) -> list[InEnvironment]:
        """What each declared environment serves, or served at a moment, in order; empty if none is declared.

        Args:
            model: The model.
            at: The moment; now if left out.
        """
        declared = declared_environments(self._config)
        pairs = zip(declared, (*declared[1:], None), strict=False)
        return [self._seen(model, here, after, at) for here, after in pairs]

    def _seen(
        self, model: str, here: Environment, after: Environment | None, at: datetime | None
    ) -> InEnvironment:
        found = [one for one in self._stretches(model, here) if at is None or one.since <= at]
        seen = InEnvironment(environment=here.name, served=None, next=after.name if after else None)
        if found:
            version = Registry(self._workspace).get(f"{model}/{found[-1].version}")
            by = next(one for one in self._revisions(model, here) if one.revision == found[-1].revision)
            lacking = self._lacks(after, version) if after and at is None else []
            seen = msgspec.structs.replace(
                seen,
                served=found[-1],
                digest=version.id,
                actor=by.actor,
                reason=by.reason,
                lacks=tuple(lacking),
            )
        if at is not None:
            return seen
        with self._workspace.database.read() as connection:
            alive = store.read_replicas(connection, model, datetime.now(UTC) - _ALIVE, here.key)
        return msgspec.structs.replace(seen, replicas=len(alive))

    def _lacks(self, to: Environment, version: ModelVersion) -> list[str]:
        stretch, counts, now = self._tried(to, version), Counts(), self._workspace.clock.now()
        if stretch is not None and to.before is not None:
            until = stretch.until or datetime.now(UTC)  # requests are counted by the machine's clock
            with self._workspace.database.read() as connection:
                counts = minutes.within(connection, version.model, stretch.since, until, to.before.key)
        return lacks(self._config, to, version, stretch, counts, now)

    def _tried(self, to: Environment, version: ModelVersion) -> Stretch | None:
        """When a version served last in the environment before another."""
        if to.before is None:
            return None
        before = self._stretches(version.model, to.before)
        return next((one for one in reversed(before) if one.version == version.number), None)

    def _stretches(self, model: str, here: Environment) -> list[Stretch]:
        return stretches(self._revisions(model, here))

    def _revisions(self, model: str, here: Environment) -> list[Revision]:
        with self._workspace.database.read() as connection:
            return store.read_revisions(connection, model, here.key)
