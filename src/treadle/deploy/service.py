"""Deployments: revisions that should run, and replicas that tell what does."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from treadle.deploy import rules, store
from treadle.deploy.types import DeploymentStatus, DesiredRevision, ReplicaReport, Revision
from treadle.kernel.errors import NotFound
from treadle.kernel.events import record
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.registry import Registry

_ALIVE = timedelta(seconds=30)
_LISTENING = timedelta(seconds=10)
_POLL = 0.1
_ATTEMPTS = 5


class Deployments:
    """Puts model versions to work and follows what the replicas make of them.

    Args:
        workspace: Where.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._files: dict[str, dict[str, str]] = {}

    def deploy(self, model: str, version: int, actor: str, reason: str, key: str) -> Revision:
        """Makes a model version the one that should run.

        Args:
            model: The model.
            version: Which of its versions.
            actor: Who asks.
            reason: Why.
            key: The request's identity: asking twice under one key is asking once.

        Returns:
            The new revision, pending until a replica serves it; or, under a known key,
            that revision as it stands.

        Raises:
            NotFound: If there is no such version.
        """
        self._files_of(f"{model}/{version}")
        asked = Revision(
            model=model,
            revision=0,
            version=version,
            at=self._workspace.clock.now(),
            actor=actor,
            reason=reason,
        )
        for attempt in range(_ATTEMPTS):
            try:
                return self._start(asked, key)
            except sa.exc.IntegrityError:
                # Two first deployments at once: the other one has taken the number, or was the same.
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _start(self, asked: Revision, key: str) -> Revision:
        with self._workspace.database.write() as connection:
            store.lock(connection, asked.model)
            known = store.find_by_key(connection, asked.model, key)
            if known:
                return known
            new, changed = rules.started(store.read_revisions(connection, asked.model), asked)
            for revision in changed:
                store.update_revision(connection, revision)
            store.add_revision(connection, new, key)
            message = f"version {new.version} deployed: {new.reason}"
            self._tell(connection, new, "deployed", new.actor, message, new.at)
        return new

    def desired(self, model: str) -> DesiredRevision | None:
        """What replicas are to serve; None before the first deployment or when every one failed."""
        with self._workspace.database.read() as connection:
            wanted = rules.desired(store.read_revisions(connection, model))
        return self._describe(wanted)

    def report(self, report: ReplicaReport, now: datetime | None = None) -> DesiredRevision | None:
        """Hears from a replica: it lives, and it serves or could not load some revision.

        A pending revision that a replica serves is serving from then on. One that a replica
        could not load, and that no other live replica serves, has failed: the revision before
        it becomes the desired one again.

        Args:
            report: What the replica tells.
            now: When it was heard, by the machine's clock also during a replay.

        Returns:
            What the replica is to serve.
        """
        heard_at = now or datetime.now(UTC)
        effect_at = self._workspace.clock.now()
        with self._workspace.database.write() as connection:
            store.lock(connection, report.model)
            store.save_report(connection, report, heard_at)
            known = store.read_revisions(connection, report.model)
            others = store.read_replicas(connection, report.model, heard_at - _ALIVE)
            changed = rules.failed(known, report, others)
            if changed:
                self._tell_rollback(connection, report, changed, effect_at)
            else:
                changed = rules.served(known, report, effect_at)
                if changed:
                    message = f"version {changed[0].version} answers requests"
                    actor = f"replica:{report.replica}"
                    self._tell(connection, changed[0], "serving", actor, message, effect_at)
            for revision in changed:
                store.update_revision(connection, revision)
            latest = {r.revision: r for r in (*known, *changed)}
        return self._describe(rules.desired(list(latest.values())))

    def wait(self, model: str, revision: int, timeout: float) -> Revision:
        """Waits until a replica serves a revision or it has failed.

        Returns at once when no replica has been heard of in the last 10 seconds: the
        revision stays pending and is served when a replica starts.

        Args:
            model: The model.
            revision: Which of its revisions.
            timeout: The longest wait, in seconds.

        Returns:
            The revision as it stands then.

        Raises:
            NotFound: If there is no such revision.
        """
        deadline = time.monotonic() + timeout
        while True:
            since = datetime.now(UTC) - _LISTENING
            with self._workspace.database.read() as connection:
                known = {r.revision: r for r in store.read_revisions(connection, model)}
                listening = store.read_replicas(connection, model, since)
            if revision not in known:
                raise NotFound(f"model {model!r} has no revision {revision}")
            found = known[revision]
            if found.state != "pending" or not listening or time.monotonic() >= deadline:
                return found
            time.sleep(_POLL)

    def status(self, model: str, now: datetime | None = None) -> DeploymentStatus:
        """What should run, and what does.

        Args:
            model: The model.
            now: By the machine's clock; replicas heard of in the 30 seconds before it are listed.
        """
        since = (now or datetime.now(UTC)) - _ALIVE
        with self._workspace.database.read() as connection:
            known = store.read_revisions(connection, model)
            replicas = store.read_replicas(connection, model, since)
        return DeploymentStatus(
            model=model, desired=rules.desired(known), serving=rules.serving(known), replicas=replicas
        )

    def history(self, model: str) -> list[Revision]:
        """A model's deployments, oldest first."""
        with self._workspace.database.read() as connection:
            return store.read_revisions(connection, model)

    def _files_of(self, ref: str) -> dict[str, str]:
        # A version never changes, and replicas ask twice a second.
        if ref not in self._files:
            version = Registry(self._workspace).get(ref)
            self._files[ref] = {file.path: file.digest for file in version.files}
        return self._files[ref]

    def _describe(self, wanted: Revision | None) -> DesiredRevision | None:
        if wanted is None:
            return None
        config = self._workspace.config
        data = config.data.get(config.train.data) if config.train else None
        features = set(config.train.features) if config.train else set()
        return DesiredRevision(
            revision=wanted.revision,
            version=wanted.version,
            files=self._files_of(f"{wanted.model}/{wanted.version}"),
            key=data.key if data and data.key not in features else None,
            time=data.time if data and data.time not in features else None,
        )

    def _tell_rollback(
        self, connection: sa.Connection, report: ReplicaReport, changed: list[Revision], at: datetime
    ) -> None:
        broken = changed[0]
        message = f"version {broken.version} could not be loaded ({broken.error})"
        if len(changed) > 1:
            message += f"; back to version {changed[1].version}"
        kind = "rolled_back" if len(changed) > 1 else "deploy_failed"
        self._tell(connection, broken, kind, f"replica:{report.replica}", message, at)

    def _tell(
        self,
        connection: sa.Connection,
        revision: Revision,
        kind: str,
        actor: str,
        message: str,
        at: datetime,
    ) -> None:
        facts = {"revision": str(revision.revision), "version": str(revision.version)}
        if revision.error:
            facts["error"] = revision.error
        record(
            connection,
            Event(
                id=self._workspace.ids.new("event"),
                at=at,
                recorded_at=datetime.now(UTC),
                subject=f"model:{revision.model}",
                kind=kind,
                actor=actor,
                message=message,
                facts=facts,
            ),
        )
