"""Running the checks of a review, and merging it: both on exactly what its branches are at."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from msgspec.structs import replace

from treadle.data import reading
from treadle.data.branches import store as refs
from treadle.data.branches.joining import Reviewed
from treadle.data.branches.loose_tables import NoTable, whole
from treadle.data.branches.merge_types import Merged
from treadle.data.branches.service import Branches
from treadle.data.branches.types import GATES, RefSettings
from treadle.data.local import local_files
from treadle.data.reviews import rules, store
from treadle.data.reviews.judging import Judge, Judged
from treadle.data.reviews.looking import asked_merge, blockers, look, read, standing
from treadle.data.reviews.types import (
    EventBody,
    EventKind,
    MergeReview,
    Review,
    ReviewEvent,
    RunGates,
    Standing,
)
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import Conflict
from treadle.kernel.events import record
from treadle.kernel.files import staging
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace

_TRIES = 10


def run_gates(
    workspace: Workspace, branches: Branches, judge: Judge, dataset: str, number: int, asked: RunGates
) -> ReviewEvent:
    """See :meth:`treadle.data.reviews.service.Reviews.check`."""
    rules.check_gates(asked.names)
    review, _ = read(workspace, dataset, number)
    rules.check_state(review, "open", "check")
    sides = look(workspace, branches, review)
    plan, result = branches.would_be(dataset, asked_merge(review, sides))
    if result is None:
        _refuse(review, blockers(review, plan, nothing=True))
        raise AssertionError
    required = sides.settings.checks if sides.settings else ()
    names = [name for name in GATES if name in (asked.names or required or GATES)]
    with staging(workspace.state / "tmp") as folder:
        after = _judged(workspace, branches, result, folder / "after")
        before = _judged(workspace, branches, sides.target, folder / "before") if sides.target else None
        results = judge.judge(dataset, names, after, before)
    source, target = sides.commits
    with workspace.database.write() as connection:
        review = store.lock(connection, dataset, number) or review
        rules.check_state(review, "open", "check")
        body = EventBody(source=source, target=target, gates=results)
        return note(workspace, connection, review, "checked", asked.actor, body)


def _judged(workspace: Workspace, branches: Branches, version: DatasetVersion, folder: Path) -> Judged:
    """A version with its rows: of a table, or of files that are one though nobody declared it."""
    if version.files:
        files = local_files(workspace, version)
        return Judged(count=version.count, bytes=version.bytes, rows=version.rows, files=tuple(files))
    try:
        found = whole(workspace.engine, version.tree, branches.contents(version), folder)
    except NoTable as error:
        why = f"{error.where}: {error.message}" if error.where else error.message
        return Judged(count=version.count, bytes=version.bytes, why=why)
    rows = reading.table(workspace.engine, found.files)[1]
    return Judged(count=version.count, bytes=version.bytes, rows=rows, files=tuple(found.files))


def merge(workspace: Workspace, branches: Branches, dataset: str, number: int, asked: MergeReview) -> Merged:
    """See :meth:`treadle.data.reviews.service.Reviews.merge`."""
    for attempt in range(_TRIES):
        review, events = read(workspace, dataset, number)
        rules.check_state(review, "open", "merge")
        sides = look(workspace, branches, review)
        source = sides.there(review)
        check_commit(review, source, asked.commit)
        _check(review, standing(review, events, sides))
        wanted = asked_merge(review, sides, asked.message, asked.actor)
        try:
            plan = branches.plan_merge(dataset, wanted)
            nothing = plan.base == source.commit_id
            _refuse(review, blockers(review, plan, nothing=nothing))
            allowed = Reviewed(source, _Closing(workspace, review, source, asked.actor))
            return branches.merge(dataset, replace(wanted, source=review.source), allowed)
        except Conflict:
            # Where the review or its target moved meanwhile, all is judged anew, of where it stands now.
            now, _ = read(workspace, dataset, number)
            same = now.state == review.state and look(workspace, branches, review).target == sides.target
            if same or attempt == _TRIES - 1:
                raise
    raise AssertionError


class _Closing:
    """Closes a review in the transaction that moves its target, if everything still allows it."""

    def __init__(self, workspace: Workspace, review: Review, source: DatasetVersion, actor: str) -> None:
        self._ws, self._review, self._source, self._actor = workspace, review, source, actor

    def __call__(self, connection: sa.Connection, version: DatasetVersion) -> None:
        asked = self._review
        review = store.lock(connection, asked.dataset, asked.number) or asked
        rules.check_state(review, "open", "merge")
        events = store.events_of(connection, review.dataset, review.number)
        ref = refs.find_ref(connection, review.dataset, "branch", review.target)
        follows = version.parents[0] if len(version.parents) > 1 else ""
        settings = ref.settings if ref else RefSettings()
        _check(review, rules.standing(review, events, settings, self._source.commit_id, follows))
        store.set_state(connection, review, "merged", version.number)
        body = EventBody(source=self._source.commit_id, target=follows, version=version.number)
        note(self._ws, connection, review, "merged", self._actor, body)


def check_commit(review: Review, source: DatasetVersion, commit: str) -> None:
    """Refuses to act on another commit than the one that was looked at.

    Raises:
        Conflict: If the source doesn't stand at it.
    """
    if commit and not source.commit_id.startswith(commit):
        raise Conflict(
            f"{review.source} stands at {source.commit_id[:12]}, not at {commit[:12]}: it moved meanwhile",
            where=review.ref,
            fix=f"look at what is new: treadle data review show {review.ref}",
        )


def note(
    workspace: Workspace,
    connection: sa.Connection,
    review: Review,
    kind: EventKind,
    actor: str,
    body: EventBody,
) -> ReviewEvent:
    """Writes down what was said or done in a review, which must have been locked; also on the timeline.

    Raises:
        InvalidInput: If nobody, or nothing that can be a name, did it.
    """
    rules.check_actor(actor)
    event = store.add_event(connection, review, kind, actor, workspace.clock.now(), body)
    said = {"changes_requested": "changes were asked for in", "checked": "checks ran on"}
    what = f"{said[kind]} review {review.ref}" if kind in said else f"review {review.ref} was {kind}"
    facts = {"source": body.source, "target": body.target} if body.source else {}
    record(
        connection,
        Event(
            id=f"review:{review.ref}:{event.position}",
            at=event.at,
            recorded_at=datetime.now(UTC),
            subject=f"data:{review.dataset}",
            kind=f"review_{kind}",
            actor=actor,
            message=f"{what}: {review.title}",
            facts=facts,
        ),
    )
    return event


def _check(review: Review, found: Standing) -> None:
    if found.blockers:
        raise Conflict(
            f"review {review.ref} can't be merged: {'; '.join(found.blockers)}",
            where=f"{review.dataset}@{review.target}",
            fix=rules.next_step(review, found),
        )


def _refuse(review: Review, found: tuple[str, ...]) -> None:
    """Refuses what the data themselves are in the way of.

    Raises:
        Conflict: If there is anything.
    """
    if not found:
        return
    fix = f"nothing was changed; close it: treadle data review close {review.ref}"
    if not found[0].startswith("there is nothing"):
        fix = (
            "nothing was changed; decide on the source, then have it looked at again: treadle data merge "
            f"{review.dataset}@{review.target} --into {review.source} --ours PATH --theirs PATH"
        )
    raise Conflict(
        f"review {review.ref} can't be merged: {'; '.join(found)}",
        where=f"{review.dataset}@{review.target}",
        fix=fix,
    )
