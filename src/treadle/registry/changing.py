"""What every change of a version writes at once: the version, its status, its history, the audit event."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from treadle.kernel.clock import SystemClock
from treadle.kernel.events import record
from treadle.kernel.types import Event
from treadle.registry import catalog_store, rules, store
from treadle.registry.catalog_types import CatalogVersion
from treadle.registry.types import ModelVersion, Origin, Passport, Status, Transition

MLFLOW = "mlflow"
"""Who acts when an MLflow client does: it doesn't say for whom."""

_KIND = {
    "candidate": "registered",
    "staging": "held",
    "production": "promoted",
    "deprecated": "deprecated",
    "refused": "refused",
    "archived": "archived",
    "deleted": "deleted",
}


def enter(
    connection: sa.Connection,
    entry: CatalogVersion,
    spec: Passport,
    *,
    identity: str = "",
    origin: Origin = "mlflow",
    governed: bool = False,
    actor: str = MLFLOW,
    reason: str = "registered by an MLflow client",
    key: str,
) -> None:
    """Adds a version everywhere, and the first line of its history; the model must be locked."""
    catalog_store.insert_version(connection, entry)
    store.add_version(connection, entry, spec, identity, origin, governed=governed)
    status = rules.STATUS_OF[entry.stage]
    first = Transition(
        model=entry.model,
        number=entry.number,
        before=None,
        after=status,
        at=entry.created_at,
        actor=actor,
        reason=reason,
    )
    write(connection, first, key)


def move(
    connection: sa.Connection,
    version: ModelVersion,
    after: Status,
    *,
    at: datetime,
    actor: str,
    reason: str,
    key: str,
    governed: bool,
    override: bool = False,
) -> Transition:
    """Changes a version's status, and with it its stage; the model must be locked."""
    approved_by = actor if after == "production" else version.approved_by
    store.set_status(connection, version, after, approved_by, at, governed=governed)
    transition = Transition(
        model=version.model,
        number=version.number,
        before=version.status,
        after=after,
        at=at,
        actor=actor,
        reason=reason,
        override=override and after == "production",
    )
    write(connection, transition, key)
    return transition


def write(connection: sa.Connection, transition: Transition, key: str) -> None:
    """Adds to a model's history and to the audit; the model must be locked."""
    store.add_transition(connection, transition, key)
    model, ref = transition.model, f"{transition.model}/{transition.number}"
    facts = {"version": ref, "before": transition.before or "", "after": transition.after}
    if transition.override:
        facts["override"] = "true"
    kind = _KIND.get(transition.after, "staged")
    verb = f"staged in {transition.after}" if kind == "staged" else kind
    if transition.override:
        verb += " against its gate"
    event = Event(
        id=f"registry:{model}:{transition.number}:{key}",
        at=transition.at,
        recorded_at=SystemClock().now(),
        subject=f"model:{model}",
        kind=kind,
        actor=transition.actor,
        message=f"{ref} {verb}: {transition.reason}",
        facts=facts,
    )
    record(connection, event)
