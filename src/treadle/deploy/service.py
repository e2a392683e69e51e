"""Deployments: revisions that should run, and replicas that tell what does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import sqlalchemy as sa

from treadle.deploy import hearing, minutes, rollout, rules, store
from treadle.deploy.admitting import Environments
from treadle.deploy.differing import differences
from treadle.deploy.environments import environment
from treadle.deploy.standing import REMEMBERED, standing
from treadle.deploy.telling import Telling, seen
from treadle.deploy.types import (
    DeploymentPlan,
    DeploymentStatus,
    DesiredRevision,
    Replica,
    ReplicaReport,
    Revision,
    RevisionState,
    Rollout,
    Trial,
)
from treadle.kernel.config import DeployConfig
from treadle.kernel.errors import Conflict, NotFound, TreadleError
from treadle.kernel.workspace import Workspace
from treadle.registry import ModelVersion, Registry, check_loadable

_ALIVE = timedelta(seconds=30)
_LISTENING = timedelta(seconds=10)
_POLL = 0.1
_ATTEMPTS = 5
_ROLLOUT = "rollout"


class Deployments:
    """Puts model versions to work in an environment and follows what its replicas make of them.

    Args:
        workspace: Where.
        name: The environment; empty for the last of ``[environments]``, or where none are declared.

    Raises:
        NotFound: If there is no such environment.
    """

    def __init__(self, workspace: Workspace, name: str = "") -> None:
        self._workspace = workspace
        self._here = environment(workspace.config, name).key
        self._telling = Telling(workspace)
        self._files: dict[str, dict[str, str]] = {}

    def at(self, name: str) -> Deployments:
        """Those of an environment.

        Raises:
            NotFound: If there is no such environment.
        """
        if name == self._here:  # what replicas ask twice a second
            return self
        found = Deployments(self._workspace, name)
        found._files = self._files
        return found

    # ── asking ───────────────────────────────────────────────────────────

    def deploy(
        self,
        model: str,
        version: int,
        actor: str,
        reason: str,
        key: str,
        *,
        plan: DeployConfig | None = None,
        outcome: str = "",
        expect: int | None = None,
    ) -> Revision:
        """Makes a model version the one that should run, at once or step by step.

        Args:
            model: The model.
            version: Which of its versions.
            actor: Who asks.
            reason: Why.
            key: The request's identity: asking twice under one key is asking once.
            plan: How it takes over from what serves; at once when left out, or where nothing serves.
            outcome: What the version's gate came to: one that takes over step by step becomes
                production with it, once its last step has ended well.
            expect: Only if this is the newest revision in the environment; 0: only if there is none.

        Returns:
            The new revision, pending until a replica serves it, or in trial; or, under a known
            key, that revision as it stands.

        Raises:
            NotFound: If there is no such version, or its files aren't kept any more.
            Refused: If it has a pickle that may not be loaded.
            Conflict: If somebody else has deployed to the environment since the caller looked.
        """
        found = Registry(self._workspace).get(f"{model}/{version}")
        check_loadable(found.pickles, self._workspace.config.registry.pickle, found.ref)
        self._check_kept(found)
        asked = Revision(
            model=model,
            revision=0,
            version=version,
            at=self._workspace.clock.now(),
            actor=actor,
            reason=reason,
            plan=plan if plan and plan.strategy != "at-once" else None,
            outcome=outcome,
            environment=self._here,
        )
        for attempt in range(_ATTEMPTS):
            try:
                return self._start(asked, key, found.id, expect)
            except sa.exc.IntegrityError:
                # Two first deployments at once: the other one has taken the number, or was the same.
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _check_kept(self, version: ModelVersion) -> None:
        """Refuses a version that no replica could fetch: what serves would be given up for nothing."""
        gone = [file.path for file in version.files if not self._workspace.blobs.has(file.digest)]
        if gone:
            raise NotFound(
                f"{', '.join(gone)} of {version.ref} isn't in the blob store any more",
                where=version.ref,
                fix="nothing was deployed; restore the blob store, or deploy another version",
            )

    def _start(self, asked: Revision, key: str, digest: str, expect: int | None) -> Revision:
        with self._workspace.database.write() as connection:
            store.lock(connection, asked.model)
            known = store.find_by_key(connection, asked.model, key)
            if known:
                return known
            # In one query: before the first revision there is no row to lock, and whoever came between
            # two would be counted and not be seen. So both take one number, and the second is told.
            everywhere = store.read_revisions(connection, asked.model, None)
            there = [one for one in everywhere if one.environment == self._here]
            rules.check_expected(there, asked, expect)
            newest = max((one.revision for one in everywhere), default=0)
            new, changed = rules.started(there, asked, newest)
            for revision in changed:
                store.update_revision(connection, revision)
            store.forget_trials(connection, new.model, [revision.revision for revision in changed])
            store.add_revision(connection, new, key)
            how = f"in trial, {new.plan.strategy}" if new.plan else "deployed"
            message = f"version {new.version} {how}: {new.reason}"
            self._telling.tell(connection, new, "deployed", new.actor, message, new.at, {"digest": digest})
        return new

    def check_current(self, connection: sa.Connection, revision: Revision) -> None:
        """A last look before a revision's version becomes production: nothing may have come after it.

        Raises:
            Conflict: If another revision has taken its place.
        """
        known = {r.revision: r for r in store.read_revisions(connection, revision.model, self._here)}
        rules.check_current(known[revision.revision], list(known.values()))

    def plan(self, model: str, version: int, plan: DeployConfig) -> DeploymentPlan:
        """What deploying a version would change; does nothing.

        Raises:
            NotFound: If there is no such version.
        """
        registry = Registry(self._workspace)
        new = registry.get(f"{model}/{version}")
        since = datetime.now(UTC) - _ALIVE
        with self._workspace.database.read() as connection:
            known = store.read_revisions(connection, model, self._here)
            alive = store.read_replicas(connection, model, since, self._here)
        serving = rules.serving(known)
        asked = Revision(
            model=model, revision=0, version=version, at=since, actor="", reason="",
            plan=plan if plan.strategy != "at-once" else None, environment=self._here,
        )  # fmt: skip
        started, ended = rules.started(known, asked)
        old = registry.get(f"{model}/{serving.version}") if serving else None
        return DeploymentPlan(
            model=model,
            version=version,
            serving=serving,
            plan=started.plan,
            replicas=len(alive),
            replaces=ended[-1] if ended else None,
            changes=tuple(differences(old, new)) if old else (),
            lacks=tuple(Environments(self._workspace).lacks(self._here, new)),
        )

    def promote(self, model: str, actor: str, reason: str) -> Revision:
        """Lets the revision in trial take over now, whatever its plan still asks for.

        Raises:
            NotFound: If none is in trial.
            Conflict: If no replica has loaded it yet: nobody knows whether it can be.
            Refused: If its gate doesn't let it into production.
        """
        trial = self._trial(model)
        with self._workspace.database.read() as connection:
            alive = store.read_replicas(connection, model, datetime.now(UTC) - _ALIVE, self._here)
        if not any(rollout.has_loaded(one, trial) for one in alive):
            waits = f"any of {len(alive)} replicas to load it" if alive else "a replica, and none runs"
            raise Conflict(
                f"revision {trial.revision} waits for {waits}",
                where=f"{model}/{trial.version}",
                fix=f"wait until `treadle deploy status {model}` says that it has been loaded; "
                f"or take it back: treadle deploy rollback {model}",
            )
        return self._finish(trial, actor, reason)

    def stop(self, model: str, actor: str, reason: str) -> Revision:
        """Takes the revision in trial back; what serves goes on.

        Raises:
            NotFound: If none is in trial.
        """
        trial = self._trial(model)
        return self._back(trial, actor, reason)

    # ── replicas ─────────────────────────────────────────────────────────

    def desired(self, model: str) -> DesiredRevision | None:
        """What replicas are to serve; None before the first deployment or when every one failed."""
        with self._workspace.database.read() as connection:
            known = store.read_revisions(connection, model, self._here)
        return self._describe(known)

    def report(self, report: ReplicaReport, now: datetime | None = None) -> DesiredRevision | None:
        """Hears from a replica: it lives, and it serves or could not load some revision.

        A pending revision that a replica serves is serving from then on. One that a replica
        could not load, and that no other live replica serves, has failed: the revision before
        it becomes the desired one again. One in trial goes on, takes over or is taken back
        as its plan says (:mod:`treadle.deploy.rollout`).

        Args:
            report: What the replica tells.
            now: When it was heard, by the machine's clock also during a replay.

        Returns:
            What the replica is to serve.
        """
        report = msgspec.structs.replace(report, environment=self._here)
        heard_at = now or datetime.now(UTC)
        effect_at = self._workspace.clock.now()
        with self._workspace.database.write() as connection:
            store.lock(connection, report.model)
            before = store.save_report(connection, report, heard_at)
            minutes.add(connection, report.model, heard_at, minutes.since(before, report), self._here)
            known = store.read_revisions(connection, report.model, self._here)
            alive = store.read_replicas(connection, report.model, heard_at - _ALIVE, self._here)
            changed = rules.failed(known, report, alive)
            if changed:
                self._telling.rollback(connection, report, changed, effect_at)
            else:
                changed = rules.served(known, report, effect_at)
                if changed:
                    message = f"version {changed[0].version} answers requests"
                    actor = f"replica:{report.replica}"
                    self._telling.tell(connection, changed[0], "serving", actor, message, effect_at)
            for revision in changed:
                store.update_revision(connection, revision)
            trial = rollout.trial_of(known)
            asked = self._advance(connection, trial, report, alive, effect_at) if trial else None
        if trial and asked:
            self._settle(trial, asked)
        with self._workspace.database.read() as connection:
            known = store.read_revisions(connection, report.model, self._here)
        return self._describe(known, [one.replica for one in alive].index(report.replica))

    def report_all(
        self, reports: Sequence[ReplicaReport], now: datetime | None = None
    ) -> list[DesiredRevision | None]:
        """Hears from a replica of several models at once; see :meth:`report`.

        Raises:
            InvalidInput: If they are of several replicas, or two of one model.
        """
        reports = [msgspec.structs.replace(one, environment=self._here) for one in reports]
        hearing.check_together(reports)
        with self._workspace.database.write() as connection:
            quiet = hearing.unchanged(connection, reports, now or datetime.now(UTC))
        return [
            self._describe(quiet[one.model]) if one.model in quiet else self.report(one, now)
            for one in reports
        ]

    def _advance(
        self,
        connection: sa.Connection,
        trial: Revision,
        report: ReplicaReport,
        alive: list[Replica],
        now: datetime,
    ) -> rollout.Decision | None:
        """Notes what a replica saw of a trial; what is to be done once that is written, if anything."""
        if report.trial and report.trial.revision == trial.revision:
            store.save_trial(connection, trial.model, report.replica, report.trial)
        if report.failed == trial.revision:
            return rollout.Decision("back", f"it could not be loaded: {report.error}")
        found, names = self._rollout(connection, trial, alive, now)
        decided = rollout.decide(found, names)
        if decided.kind in ("finish", "back"):
            return decided
        if decided.kind == "step":
            step = trial.step + 1 if trial.step_at else 0
            moved = msgspec.structs.replace(trial, step=step, step_at=now)
            store.update_revision(connection, moved)
            share = rollout.share(moved, 0)
            does = "is asked beside" if found.shadow else f"answers {share:.0%} of the requests"
            message = f"version {trial.version} {does}: {decided.reason}"
            held = [rollout.share(moved, place) for place in range(max(1, len(alive)))]
            facts = seen(found) | {"share": f"{sum(held) / len(held):g}"}
            self._telling.tell(connection, moved, "rollout_step", _ROLLOUT, message, now, facts)
        return None

    def _rollout(
        self, connection: sa.Connection, trial: Revision, alive: list[Replica], now: datetime
    ) -> tuple[Rollout, list[str]]:
        kept = store.read_trials(connection, trial.model, trial.revision)
        return rollout.rollout(trial, alive, [one for _, one in kept], now), [name for name, _ in kept]

    def _settle(self, trial: Revision, decided: rollout.Decision) -> None:
        if decided.kind == "back":
            self._back(trial, _ROLLOUT, decided.reason)
            return
        try:
            self._finish(trial, trial.actor, decided.reason)
        except TreadleError as error:
            self._back(trial, _ROLLOUT, f"it may not become production: {error.message}")

    def _finish(self, trial: Revision, actor: str, reason: str) -> Revision:
        """Makes a revision in trial the desired one; the registry is told first, under one key."""
        if self._here:
            return self._end(trial, "pending", "", "rollout_finished", actor, f"takes over: {reason}")
        with self._workspace.database.read() as connection:
            key = store.key_of(connection, trial)
        Registry(self._workspace).promote(
            trial.model,
            trial.version,
            actor=actor,
            reason=f"{trial.reason}; {reason}",
            key=key,
            outcome=trial.outcome,
            override=trial.outcome != "pass",
            last_look=lambda connection: self.check_current(connection, trial),
        )
        return self._end(trial, "pending", "", "rollout_finished", actor, f"takes over: {reason}")

    def _back(self, trial: Revision, actor: str, reason: str) -> Revision:
        return self._end(trial, "failed", reason, "rolled_back", actor, f"taken back: {reason}")

    def _end(
        self, trial: Revision, state: RevisionState, error: str, kind: str, actor: str, message: str
    ) -> Revision:
        """Ends a trial, unless somebody else has ended it meanwhile; the revision as it is then."""
        now = self._workspace.clock.now()
        with self._workspace.database.write() as connection:
            store.lock(connection, trial.model)
            known = {one.revision: one for one in store.read_revisions(connection, trial.model, self._here)}
            found = known[trial.revision]
            if found.state != "trial":
                return found
            counted, _ = self._rollout(connection, found, [], now)
            changed = msgspec.structs.replace(found, state=state, error=error or None)
            store.update_revision(connection, changed)
            store.forget_trials(connection, trial.model, [trial.revision])
            message = f"version {trial.version} {message}"
            self._telling.tell(connection, changed, kind, actor, message, now, seen(counted))
        return changed

    def _trial(self, model: str) -> Revision:
        with self._workspace.database.read() as connection:
            found = rollout.trial_of(store.read_revisions(connection, model, self._here))
        if found is None:
            raise NotFound(
                f"no revision of {model!r} is in trial", fix=f"see what serves: treadle deploy status {model}"
            )
        return found

    # ── looking ──────────────────────────────────────────────────────────

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
                known = {r.revision: r for r in store.read_revisions(connection, model, self._here)}
                listening = store.read_replicas(connection, model, since, self._here)
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
        now = now or datetime.now(UTC)
        with self._workspace.database.read() as connection:
            known = store.read_revisions(connection, model, self._here)
            heard = store.read_replicas(connection, model, now - REMEMBERED, self._here)
            replicas = [one for one in heard if one.heard_at >= now - _ALIVE]
            trial = rollout.trial_of(known)
            at = self._workspace.clock.now()
            found = self._rollout(connection, trial, replicas, at)[0] if trial else None
            serving = rules.serving(known)
            promised = self._workspace.config.serve.objective
            levels = standing(connection, model, promised, serving, heard, now, self._here)
        return DeploymentStatus(
            model=model,
            desired=rules.desired(known),
            serving=serving,
            replicas=replicas,
            rollout=found,
            levels=levels,
            environment=self._here,
        )

    def history(self, model: str) -> list[Revision]:
        """A model's deployments in the environment, oldest first."""
        with self._workspace.database.read() as connection:
            return store.read_revisions(connection, model, self._here)

    def _files_of(self, ref: str) -> dict[str, str]:
        # A version never changes, and replicas ask twice a second.
        if ref not in self._files:
            version = Registry(self._workspace).get(ref)
            self._files[ref] = {file.path: file.digest for file in version.files}
        return self._files[ref]

    def _describe(self, known: list[Revision], place: int = 0) -> DesiredRevision | None:
        """What the replica in a place is to serve, and to try beside it."""
        wanted, trial = rules.desired(known), rollout.trial_of(known)
        if wanted is None:
            return None
        tried = self._described(trial, place) if trial else None
        return self._wanted(wanted.model, wanted.version, wanted.revision, tried)

    def alone(self, version: ModelVersion) -> DesiredRevision:
        """What a replica is to serve that is started for one version, deployed or not."""
        return self._wanted(version.model, version.number, 0, None)

    def _wanted(self, model: str, version: int, revision: int, trial: Trial | None) -> DesiredRevision:
        config = self._workspace.config
        data = config.data.get(config.train.data) if config.train else None
        features = set(config.train.features) if config.train else set()
        return DesiredRevision(
            revision=revision,
            version=version,
            files=self._files_of(f"{model}/{version}"),
            key=data.key if data and data.key not in features else None,
            time=data.time if data and data.time not in features else None,
            slow_ms=config.serve.objective.p99_ms,
            trial=trial,
        )

    def _described(self, trial: Revision, place: int) -> Trial:
        plan = trial.plan or DeployConfig()
        return Trial(
            revision=trial.revision,
            version=trial.version,
            files=self._files_of(f"{trial.model}/{trial.version}"),
            share=rollout.share(trial, place),
            shadow=plan.strategy == "shadow",
            sticky=plan.sticky,
            slow_ms=plan.guards.max_p99_ms,
        )
