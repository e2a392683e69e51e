"""What a review is, what was said in it, and what is asked of it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from treadle.data.branches.comparing_types import DataDiff
from treadle.data.branches.merge_types import MergePlan

ReviewState = Literal["open", "merged", "closed"]
GateOutcome = Literal["pass", "warn", "inconclusive", "fail"]
Decided = Literal["approved", "changes_requested", "withdrawn"]
EventKind = Literal[
    "opened",
    "commented",
    "approved",
    "changes_requested",
    "withdrawn",
    "checked",
    "closed",
    "reopened",
    "merged",
]


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A request to merge a branch of a dataset into another.

    Attributes:
        dataset: The dataset.
        number: Counts the dataset's reviews, from 1.
        source: The branch that shall be merged.
        target: The branch that shall move.
        title: What it is about.
        text: What else there is to say; empty for nothing.
        author: Who opened it.
        state: ``open``, ``merged`` or ``closed``.
        created_at: When it was opened.
        merged: The number of the version that it became; None before.
    """

    dataset: str
    number: int
    source: str
    target: str
    title: str
    text: str
    author: str
    state: ReviewState
    created_at: datetime
    merged: int | None = None

    @property
    def ref(self) -> str:
        """How people call it: ``flights#3``."""
        return f"{self.dataset}#{self.number}"


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A verdict of a data check.

    Attributes:
        check: What was looked at, such as ``nulls``.
        subject: Which column, or what else.
        outcome: Pass, fail, or inconclusive where the data can't tell.
        sentence: What was found, as a sentence.
        estimate: The figure that was found, in the check's own unit.
        bound: What it was held against.
        n: How many rows are behind it.
    """

    check: str
    subject: str
    outcome: GateOutcome
    sentence: str
    estimate: float | None = None
    bound: float | None = None
    n: int = 0


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a data check found of the result of a merge.

    Attributes:
        name: The check: ``schema``, ``volume``, ``values``, ``drift`` or ``balance``.
        outcome: Fail if any finding fails, inconclusive if any is, or if there was nothing to look at.
        findings: The verdicts.
    """

    name: str
    outcome: GateOutcome
    findings: tuple[Finding, ...]


class EventBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an event of a review says beside who and when.

    Attributes:
        text: What was said.
        path: The path that it is about; empty for the whole.
        source: The commit at which the source stood.
        target: The commit at which the target stood; empty where it had none.
        gates: What the data checks found.
        version: The number of the version that was made.
    """

    text: str = ""
    path: str = ""
    source: str = ""
    target: str = ""
    gates: tuple[GateResult, ...] = ()
    version: int | None = None


class ReviewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was said or done in a review. Only ever added to.

    Attributes:
        position: Counts the review's events, from 0.
        kind: What was done.
        actor: Who did it.
        at: When.
        body: What there is to say about it.
    """

    position: int
    kind: EventKind
    actor: str
    at: datetime
    body: EventBody = EventBody()


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's approval.

    Attributes:
        actor: Whose.
        at: When it was given.
        commit: The source's commit that it was given for.
        stale: Whether the source has moved since, so that it no longer counts.
    """

    actor: str
    at: datetime
    commit: str
    stale: bool


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """Where a data check of a review stands.

    Attributes:
        name: The check.
        required: Whether the target's protection requires it.
        state: The outcome; ``missing`` where it hasn't run, ``stale`` where source or target moved since.
        result: What it found last; None where it hasn't run.
    """

    name: str
    required: bool
    state: Literal["pass", "warn", "inconclusive", "fail", "missing", "stale"]
    result: GateResult | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a review can be merged, and what is in its way.

    Attributes:
        approvals: All that were given and not taken back, stale ones as well.
        needed: How many approvals the target's protection needs.
        objections: Who asked for changes and hasn't approved or withdrawn since.
        gates: The data checks that are required or have run.
        blockers: What is in the way of a merge, each as a sentence; empty if nothing is.
    """

    approvals: tuple[Approval, ...]
    needed: int
    objections: tuple[str, ...]
    gates: tuple[Gate, ...]
    blockers: tuple[str, ...]


class ReviewDetails(msgspec.Struct, frozen=True, kw_only=True):
    """All that there is to see of a review.

    Attributes:
        review: The review.
        events: What was said and done, the oldest first.
        source: Where the source stands, such as ``flights@v12``; empty if the branch is gone.
        source_commit: Its commit.
        target: Where the target stands; empty where it has no version.
        target_commit: Its commit.
        standing: Whether it can be merged; None when it isn't open.
        plan: What the merge would do, with its conflicts; None when it isn't open or the source is gone.
        diff: How the target would differ after the merge; of the changes of the source alone where there are
            conflicts. Of a merged review, what it changed.
    """

    review: Review
    events: tuple[ReviewEvent, ...]
    source: str
    source_commit: str
    target: str
    target_commit: str
    standing: Standing | None
    plan: MergePlan | None
    diff: DataDiff | None


# ── what is asked ────────────────────────────────────────────────────────


class NewReview(msgspec.Struct, frozen=True, kw_only=True):
    """A review that shall be opened.

    Attributes:
        source: The branch that shall be merged.
        target: The branch that shall move.
        title: What it is about, in a line.
        text: What else there is to say.
        actor: Who asks; filled in by the client.
    """

    source: str
    target: str = "main"
    title: str
    text: str = ""
    actor: str = "api"


class NewComment(msgspec.Struct, frozen=True, kw_only=True):
    """Something to say in a review.

    Attributes:
        text: What.
        path: The path that it is about; the whole when empty.
        actor: Who asks; filled in by the client.
    """

    text: str
    path: str = ""
    actor: str = "api"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody decides about a review.

    Attributes:
        decision: ``approved``, ``changes_requested``, or ``withdrawn`` for taking either back.
        text: Why; needed when changes are asked for.
        commit: The source's commit that was looked at, or its beginning; where it stands when empty.
        actor: Who asks; filled in by the client.
    """

    decision: Decided
    text: str = ""
    commit: str = ""
    actor: str = "api"


class ReviewChange(msgspec.Struct, frozen=True, kw_only=True):
    """A review that shall be closed, or open again.

    Attributes:
        state: ``closed`` or ``open``.
        text: Why.
        actor: Who asks; filled in by the client.
    """

    state: Literal["open", "closed"]
    text: str = ""
    actor: str = "api"


class RunGates(msgspec.Struct, frozen=True, kw_only=True):
    """Data checks that shall run.

    Attributes:
        names: Which; those that the target's protection requires, or all, when empty.
        actor: Who asks; filled in by the client.
    """

    names: tuple[str, ...] = ()
    actor: str = "api"


class MergeReview(msgspec.Struct, frozen=True, kw_only=True):
    """A review that shall be merged.

    Attributes:
        message: Why; made of the title when empty.
        commit: The source's commit that is meant, or its beginning; where it stands when empty.
        actor: Who asks; filled in by the client.
    """

    message: str = ""
    commit: str = ""
    actor: str = "api"
