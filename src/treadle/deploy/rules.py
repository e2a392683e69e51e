"""The life of a revision, as pure decisions: pending, serving, failed, superseded.

The desired revision is the newest that is pending or serving; one in trial is tried beside it
(:mod:`treadle.deploy.rollout`). Every decision takes a model's revisions as they stand and
returns those that change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from treadle.deploy.types import ReplicaReport, Revision
from treadle.kernel.errors import Conflict


def desired(revisions: Sequence[Revision]) -> Revision | None:
    """The revision that should run: the newest that is pending or serving."""
    alive = [r for r in revisions if r.state in ("pending", "serving")]
    return max(alive, key=lambda r: r.revision, default=None)


def serving(revisions: Sequence[Revision]) -> Revision | None:
    """The revision that was last seen to run."""
    seen = [r for r in revisions if r.state == "serving"]
    return max(seen, key=lambda r: r.revision, default=None)


def started(
    revisions: Sequence[Revision], new: Revision, newest: int | None = None
) -> tuple[Revision, list[Revision]]:
    """A new revision becomes the desired one, or is tried if it has a plan; earlier such ones are superseded.

    It falls back to what serves now, for that is known to work; only when nothing
    serves, to what was desired before. While nothing serves there is nothing to take over
    from: it starts at once, whatever its plan.

    Args:
        revisions: The model's revisions in the environment.
        new: The new one.
        newest: The highest number that the model has given, in whichever environment.

    Returns:
        The new revision with its number, and the revisions that change.
    """
    before = serving(revisions) or desired(revisions)
    number = max([newest or 0, *(r.revision for r in revisions)]) + 1
    tried = new.plan is not None and serving(revisions) is not None
    new = replace(
        new,
        revision=number,
        previous=before.revision if before else None,
        state="trial" if tried else "pending",
        plan=new.plan if tried else None,
    )
    ended = ("trial",) if tried else ("pending", "trial")
    return new, [replace(r, state="superseded") for r in revisions if r.state in ended]


def check_expected(revisions: Sequence[Revision], asked: Revision, expect: int | None) -> None:
    """The compare of compare-and-swap: the newest revision must be the one that the caller saw.

    Args:
        revisions: The model's revisions in the environment.
        asked: What is to be deployed.
        expect: The number that the caller saw; 0 for none; None when it doesn't matter.

    Raises:
        Conflict: If another has come since.
    """
    newest = max(revisions, key=lambda r: r.revision, default=None)
    if expect is None or (newest.revision if newest else 0) == expect:
        return
    came = (
        f"{newest.actor} deployed {newest.model}/{newest.version} meanwhile" if newest else "nothing is there"
    )
    raise Conflict(
        f"{came}" + (f", revision {newest.revision}: {newest.reason}" if newest else ""),
        where=f"{asked.model}/{asked.version}",
        fix=f"nothing was deployed; look (`treadle deploy status {asked.model}`) and decide again",
    )


def check_current(revision: Revision, revisions: Sequence[Revision]) -> None:
    """Refuses a revision that another one came after before it had become production.

    Raises:
        Conflict: With the one that came.
    """
    if revision.state != "superseded":
        return
    later = [r for r in revisions if r.revision > revision.revision and r.state != "failed"]
    newest = max(later, key=lambda r: r.revision, default=revision)
    raise Conflict(
        f"{newest.actor} deployed {newest.model}/{newest.version} (revision {newest.revision}) before "
        f"revision {revision.revision} had become production",
        where=f"{revision.model}/{revision.version}",
        fix=f"look at what serves (`treadle deploy status {revision.model}`) and decide again",
    )


def served(revisions: Sequence[Revision], report: ReplicaReport, now: datetime) -> list[Revision]:
    """A replica answers with the desired revision: it serves, and what served before is superseded."""
    wanted = desired(revisions)
    if wanted is None or wanted.state != "pending" or report.revision != wanted.revision:
        return []
    first = replace(wanted, state="serving", served_at=wanted.served_at or now)
    return [first, *(replace(r, state="superseded") for r in revisions if r.state == "serving")]


def failed(
    revisions: Sequence[Revision], report: ReplicaReport, others: Iterable[ReplicaReport]
) -> list[Revision]:
    """A replica could not load the desired revision, and no other one serves it: roll back.

    Args:
        revisions: The model's revisions.
        report: What the replica tells.
        others: What the other live replicas told last.

    Returns:
        The failed revision and, where there is one, the revision to go back to.
    """
    wanted = desired(revisions)
    if wanted is None or report.failed != wanted.revision:
        return []
    if any(o.revision == wanted.revision for o in others if o.replica != report.replica):
        return []
    broken = replace(wanted, state="failed", error=report.error or "it could not be loaded")
    back = fallback(revisions, wanted)
    if back is None:
        return [broken]
    return [broken, back if back.state == "serving" else replace(back, state="pending")]


def fallback(revisions: Sequence[Revision], revision: Revision) -> Revision | None:
    """The nearest of a revision's predecessors that has not failed."""
    by_number = {r.revision: r for r in revisions}
    found = by_number.get(revision.previous or 0)
    while found is not None and found.state == "failed":
        found = by_number.get(found.previous or 0)
    return found
