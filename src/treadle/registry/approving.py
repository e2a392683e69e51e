"""Approvals: who lets a version into its next stage, and who took that back."""

from __future__ import annotations

from datetime import datetime

import msgspec
import sqlalchemy as sa

from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import Conflict, NotFound, Refused
from treadle.kernel.events import record
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.registry import catalog_store, guards, store
from treadle.registry.rules import PASSING
from treadle.registry.service import Registry
from treadle.registry.types import Approval, ModelVersion, Standing


class Approvals:
    """The approvals of a workspace's versions.

    Args:
        workspace: Where they are kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._config = workspace.config
        self._database = workspace.database

    def standing(self, ref: str) -> Standing:
        """Where a version stands on its way to production.

        Raises:
            NotFound: If there is no such version.
        """
        version = Registry(self._workspace).get(ref)
        with self._database.read() as connection:
            return self._standing(connection, version)

    def add(self, ref: str, actor: str, reason: str, outcome: str) -> Standing:
        """Approves that a version goes to its next stage.

        Args:
            ref: The version.
            actor: Who approves.
            reason: Why.
            outcome: What its evaluations came to.

        Raises:
            NotFound: If there is no such version.
            InvalidInput: If there is no reason.
            Conflict: If it isn't on its way to production, or this person has approved it already and
                others must as well.
            Refused: If this person may not, or the stage takes a verdict that it lacks.
        """
        guards.check_reason(reason, ref)
        version = Registry(self._workspace).get(ref)
        with self._database.write() as connection:
            catalog_store.lock_model(connection, version.model)
            mine = (store.versions.c.model == version.model, store.versions.c.number == version.number)
            found = store.find_version(connection, *mine)  # as it is once nobody else moves it
            if found is None:
                raise NotFound(f"{version.ref} was deleted right now", fix=f"treadle models {version.model}")
            version = found
            stage = self._checked(connection, version, actor, outcome)
            self._add(connection, version, stage, actor, reason)
            return self._standing(connection, version)

    def expected(self, ref: str, actor: str, outcome: str, reason: str | None = None) -> Standing:
        """Where a version would stand if somebody approved it; changes nothing.

        Args:
            ref: The version.
            actor: Who would approve.
            outcome: What its evaluations came to.
            reason: Why; it may be still to come.

        Raises:
            NotFound: If there is no such version.
            InvalidInput: If the reason is empty.
            Conflict: If it isn't on its way to production.
            Refused: If this person may not, or the stage takes a verdict that it lacks.
        """
        if reason is not None:
            guards.check_reason(reason, ref)
        version = Registry(self._workspace).get(ref)
        with self._database.read() as connection:
            stage = self._checked(connection, version, actor, outcome)
            now = self._standing(connection, version)
            given = Approval(
                id="",
                model=version.model,
                number=version.number,
                stage=stage,
                actor=actor,
                reason="",
                at=self._workspace.clock.now(),
            )
            makers = store.makers_of(connection, version)
        counting = guards.counting(self._config, stage, [*now.approvals, given], makers)
        return msgspec.structs.replace(now, given=len(counting))

    def _checked(self, connection: sa.Connection, version: ModelVersion, actor: str, outcome: str) -> str:
        """The stage that a version goes to next, if this person may approve that."""
        stage = guards.check_waiting(self._config, version)
        guards.check_approver(self._config, version, stage, actor, store.makers_of(connection, version))
        if "verdict" in guards.guard(self._config, stage).needs and outcome not in PASSING:
            raise Refused(
                f"{stage} takes a verdict, and its evaluations came to {outcome or 'nothing'}",
                where=version.ref,
                fix="nobody can override that: make a version that passes",
            )
        return stage

    def _add(
        self, connection: sa.Connection, version: ModelVersion, stage: str, actor: str, reason: str
    ) -> None:
        now = self._standing(connection, version)
        mine = [one for one in now.approvals if (one.actor, one.stage) == (actor, stage)]
        if any(one.withdrawn_at is None for one in mine):
            if now.given >= now.needed:
                return  # what it set off may have failed, and is tried again
            raise Conflict(
                f"{actor} has approved it for {stage} already",
                where=version.ref,
                fix=f"somebody else must as well{': ' + ', '.join(now.may) if now.may else ''}",
            )
        approval = Approval(
            id=self._workspace.ids.new("approval"),
            model=version.model,
            number=version.number,
            stage=stage,
            actor=actor,
            reason=reason,
            at=self._workspace.clock.now(),
        )
        store.add_approval(connection, approval)
        self._tell(connection, approval, "approved", actor, reason, approval.at)

    def withdraw(self, ref: str, actor: str, reason: str) -> Standing:
        """Takes back what somebody has approved, for every stage.

        A version that is in a stage stays there; it can't come back to production on that approval.

        Raises:
            NotFound: If there is no such version, or this person hasn't approved it.
            InvalidInput: If there is no reason.
        """
        guards.check_reason(reason, ref)
        version = Registry(self._workspace).get(ref)
        with self._database.write() as connection:
            catalog_store.lock_model(connection, version.model)
            known = store.read_approvals(connection, version.model, version.number)
            mine = [one for one in known if one.actor == actor and one.withdrawn_at is None]
            if not mine:
                others = sorted({one.actor for one in known if one.withdrawn_at is None})
                raise NotFound(
                    f"{actor} has not approved {version.ref}",
                    fix=f"approved by {', '.join(others)}" if others else "nobody has",
                )
            now = self._workspace.clock.now()
            for one in mine:
                store.withdraw_approval(connection, one, now, actor, reason)
                self._tell(connection, one, "approval_withdrawn", actor, reason, now)
            return self._standing(connection, version)

    def _standing(self, connection: sa.Connection, version: ModelVersion) -> Standing:
        known = store.read_approvals(connection, version.model, version.number)
        stage = guards.next_stage(self._config, version.status)
        found = Standing(ref=version.ref, status=version.status, next=stage, approvals=tuple(known))
        if stage is None:
            return found
        given = guards.counting(self._config, stage, known, store.makers_of(connection, version))
        return msgspec.structs.replace(
            found,
            given=len(given),
            needed=guards.guard(self._config, stage).needed,
            may=guards.may_approve(self._config, stage),
        )

    def _tell(
        self,
        connection: sa.Connection,
        approval: Approval,
        kind: str,
        actor: str,
        reason: str,
        at: datetime,
    ) -> None:
        ref = f"{approval.model}/{approval.number}"
        said = "approved" if kind == "approved" else "no longer approved"
        record(
            connection,
            Event(
                id=f"registry:{approval.id}:{kind}",
                at=at,
                recorded_at=SystemClock().now(),
                subject=f"model:{approval.model}",
                kind=kind,
                actor=actor,
                message=f"{ref} {said} for {approval.stage} by {actor}: {reason}",
                facts={"version": ref, "stage": approval.stage},
            ),
        )
