"""Where a review's branches stand, and what there is to see of it."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from treadle.data.branches import store as refs
from treadle.data.branches.comparing import compare
from treadle.data.branches.comparing_types import DataDiff
from treadle.data.branches.merge_types import Merge, MergePlan
from treadle.data.branches.merges import say_conflict
from treadle.data.branches.service import Branches
from treadle.data.branches.types import RefSettings
from treadle.data.reviews import rules, store
from treadle.data.reviews.types import Review, ReviewDetails, ReviewEvent, Standing
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import Conflict, NotFound
from treadle.kernel.names import did_you_mean
from treadle.kernel.workspace import Workspace

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Sides:
    """Where the two branches of a review stand, and how the target is protected.

    Attributes:
        source: The source's head; None if the branch is gone.
        target: The target's head; None where it has no version.
        settings: How the target is protected; None if the branch is gone.
    """

    source: DatasetVersion | None
    target: DatasetVersion | None
    settings: RefSettings | None

    @property
    def commits(self) -> tuple[str, str]:
        """The commits of both; empty where there is none."""
        return (
            self.source.commit_id if self.source else "",
            self.target.commit_id if self.target else "",
        )

    def there(self, review: Review) -> DatasetVersion:
        """The source's head.

        Raises:
            Conflict: If the source or the target is gone.
        """
        for branch, gone in ((review.source, self.source is None), (review.target, self.settings is None)):
            if gone:
                raise Conflict(
                    f"review {review.ref} can't go on: {_gone(branch)}",
                    where=review.ref,
                    fix=f"make the branch again, or close the review: treadle data review close {review.ref}",
                )
        assert self.source  # noqa: S101 - it isn't gone
        return self.source


def read(workspace: Workspace, dataset: str, number: int) -> tuple[Review, list[ReviewEvent]]:
    """A review and its events.

    Raises:
        NotFound: If there is none of that number.
    """
    with workspace.database.read() as connection:
        found = store.find(connection, dataset, number)
        events = store.events_of(connection, dataset, number)
        last = store.next_number(connection, dataset) - 1
        known = [] if found or last else [one.name for one in refs.all_datasets(connection)]
    if found is None:
        hint = f"the last is {dataset}#{last}" if last else None
        if not last and dataset not in known:
            hint = did_you_mean(dataset, known)
        raise NotFound(
            f"there is no review {number} of {dataset!r}",
            fix=hint or f"open one: treadle data review open {dataset}@BRANCH --title TEXT",
        )
    return found, events


def look(workspace: Workspace, branches: Branches, review: Review) -> Sides:
    """Where a review's branches stand now."""
    with workspace.database.read() as connection:
        target = refs.find_ref(connection, review.dataset, "branch", review.target)
    return Sides(
        source=branches.head(review.dataset, review.source),
        target=branches.head(review.dataset, review.target),
        settings=target.settings if target else None,
    )


def asked_merge(review: Review, sides: Sides, message: str = "", actor: str = "treadle") -> Merge:
    """The merge that a review asks for, of where its branches stand."""
    return Merge(
        source=f"v{sides.there(review).number}",
        target=review.target,
        message=message or f"Merge review {review.ref}: {review.title}",
        expected=sides.target.number if sides.target else None,
        actor=actor,
    )


def standing(review: Review, events: list[ReviewEvent], sides: Sides) -> Standing:
    """Whether a review may be merged where its branches stand."""
    found = rules.standing(review, events, sides.settings or RefSettings(), *sides.commits)
    gone = [
        _gone(branch)
        for branch, there in ((review.source, sides.source), (review.target, sides.settings))
        if there is None
    ]
    return replace(found, blockers=(*gone, *found.blockers))


def _gone(branch: str) -> str:
    return f"branch {branch!r} is gone"


def details(
    workspace: Workspace, branches: Branches, dataset: str, number: int, *, limit: int, rows: bool
) -> ReviewDetails:
    """See :meth:`treadle.data.reviews.service.Reviews.show`."""
    review, events = read(workspace, dataset, number)
    sides = look(workspace, branches, review)
    source, target = sides.commits
    found = ReviewDetails(
        review=review,
        events=tuple(events),
        source=sides.source.ref if sides.source else "",
        source_commit=source,
        target=sides.target.ref if sides.target else "",
        target_commit=target,
        standing=None,
        plan=None,
        diff=None,
    )
    if review.state == "merged":
        return replace(found, diff=_merged(workspace, branches, review, limit=limit, rows=rows))
    if review.state != "open":
        return found
    stands = standing(review, events, sides)
    if sides.source is None or sides.settings is None:
        return replace(found, standing=stands)
    plan, result = branches.would_be(dataset, asked_merge(review, sides))
    left = blockers(review, plan, nothing=result is None)
    if result is not None:
        diff = _compare(workspace, branches, sides.target, result, limit=limit, rows=rows)
        diff = replace(diff, after=f"{review.source} merged into {review.target}")
    else:  # of what the source changed by itself
        base = branches.resolve(f"{dataset}@{plan.base}") if plan.base else None
        diff = _compare(workspace, branches, base, sides.source, limit=limit, rows=rows)
    stands = replace(stands, blockers=(*stands.blockers, *left))
    return replace(found, standing=stands, plan=plan, diff=diff)


def blockers(review: Review, plan: MergePlan, *, nothing: bool) -> tuple[str, ...]:
    """What is in the way of a merge in the data themselves, as sentences.

    Args:
        review: The review.
        plan: What the merge would do.
        nothing: Whether it would make no version.
    """
    if plan.conflicts:
        shown = "; ".join(map(say_conflict, plan.conflicts[:_SHOWN]))
        count = len(plan.conflicts)
        more = f"; and {count - _SHOWN:,} more" if count > _SHOWN else ""
        return (f"{count:,} {'path' if count == 1 else 'paths'} changed on both sides: {shown}{more}",)
    return (f"there is nothing to merge: {review.target} has all of {review.source}",) if nothing else ()


def _merged(
    workspace: Workspace, branches: Branches, review: Review, *, limit: int, rows: bool
) -> DataDiff | None:
    """What a merged review changed; None if nobody can tell, because a version was deleted since."""
    after = branches.resolve(f"{review.dataset}@v{review.merged}", deleted=True)
    follows = after.parents[0] if len(after.parents) > 1 else ""
    before = branches.resolve(f"{review.dataset}@{follows}", deleted=True) if follows else None
    if any(one.deleted_at for one in (before, after) if one):
        return None
    return _compare(workspace, branches, before, after, limit=limit, rows=rows)


def _compare(
    workspace: Workspace,
    branches: Branches,
    before: DatasetVersion | None,
    after: DatasetVersion,
    *,
    limit: int,
    rows: bool,
) -> DataDiff:
    contents = branches.contents(*(one for one in (before, after) if one))
    return compare(workspace, before, after, contents, limit=limit, rows=rows)
