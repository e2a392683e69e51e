"""Reviews of data: opened, talked about, approved, checked, merged."""

from __future__ import annotations

from typing import TypeAlias

import sqlalchemy as sa

from treadle.data.branches import store as refs
from treadle.data.branches.merge_types import Merged
from treadle.data.branches.service import Branches
from treadle.data.branches.types import Dataset
from treadle.data.reviews import rules, store
from treadle.data.reviews.judging import Judge
from treadle.data.reviews.looking import details, look, read
from treadle.data.reviews.merging import check_commit, merge, note, run_gates
from treadle.data.reviews.types import (
    Decision,
    EventBody,
    EventKind,
    MergeReview,
    NewComment,
    NewReview,
    Review,
    ReviewChange,
    ReviewDetails,
    ReviewEvent,
    ReviewState,
    RunGates,
)
from treadle.data.tree.trees import lookup
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import AlreadyExists, Conflict, InvalidInput
from treadle.kernel.names import unknown
from treadle.kernel.workspace import Workspace

ReviewList: TypeAlias = list[Review]


class Reviews:
    """Requests to merge branches of data, and what people and checks say of them.

    Args:
        workspace: Where everything is kept.
        branches: The branches of data.
        judge: Runs the data checks.
    """

    def __init__(self, workspace: Workspace, branches: Branches, judge: Judge) -> None:
        self._ws, self._branches, self._judge = workspace, branches, judge

    def open(self, dataset: str, new: NewReview) -> Review:
        """Opens a review of a branch that shall be merged into another.

        Raises:
            InvalidInput: If title, text or branches can't be used; a Delta table's aren't merged.
            NotFound: If a branch isn't there.
            AlreadyExists: If a review of the same branches is open.
            Conflict: If the target has all of the source already.
        """
        rules.check_new(new)
        source = self._source(dataset, new)
        at = self._ws.clock.now()
        while True:
            with self._ws.database.write() as connection:
                refs.hold_dataset(connection, Dataset(name=dataset, created_at=at, actor=new.actor))
                store.lock_dataset(connection, dataset)
                self._check_alone(connection, dataset, new.source, new.target)
                review = Review(
                    dataset=dataset,
                    number=store.next_number(connection, dataset),
                    source=new.source,
                    target=new.target,
                    title=new.title.strip(),
                    text=new.text,
                    author=new.actor,
                    state="open",
                    created_at=at,
                )
                if store.insert(connection, review):
                    note(
                        self._ws, connection, review, "opened", new.actor, EventBody(source=source.commit_id)
                    )
                    return review

    def _source(self, dataset: str, new: NewReview) -> DatasetVersion:
        """The source's head, if there is something to review."""
        for name in (new.source, new.target):
            self._branches.ref(dataset, "branch", name)
        source = self._branches.head(dataset, new.source)
        target = self._branches.head(dataset, new.target)
        if source is None:
            raise Conflict(f"branch {new.source!r} has no version yet", fix="commit on it first")
        if any(origin.kind == "table" for origin in source.origin):
            raise InvalidInput(
                f"{dataset!r} is a Delta table, whose versions are its own commits and aren't merged",
                where=f"{dataset}@{new.source}",
                fix="restore or change it: treadle data table --help",
            )
        if target is not None:
            base = self._branches.base(f"{dataset}@{source.commit_id}", f"{dataset}@{target.commit_id}")
            if base is not None and base.commit_id == source.commit_id:
                raise Conflict(
                    f"there is nothing to review: {new.target} has all of {new.source}",
                    where=f"{dataset}@{new.source}",
                    fix=f"commit on {new.source} first",
                )
        return source

    @staticmethod
    def _check_alone(connection: sa.Connection, dataset: str, source: str, target: str) -> None:
        if (other := store.open_for(connection, dataset, source, target)) is not None:
            raise AlreadyExists(
                f"review {other.ref} of {source} into {target} is open already",
                where=other.ref,
                fix=f"go on with that one: treadle data review show {other.ref}",
            )

    def list(
        self, dataset: str, state: ReviewState | None = None, limit: int = 100, before: int | None = None
    ) -> ReviewList:
        """The reviews of a dataset, the newest first.

        Args:
            dataset: The dataset.
            state: Only those in this state.
            limit: At most so many.
            before: Only those with a smaller number: how to go on after the last.

        Raises:
            NotFound: If there is no such dataset.
        """
        with self._ws.database.read() as connection:
            found = store.newest_first(connection, dataset, state, limit, before)
            known = [] if found else [one.name for one in refs.all_datasets(connection)]
        if not found and dataset not in known:
            raise unknown("dataset", dataset, known)
        return found

    def show(self, dataset: str, number: int, *, limit: int = 1000, rows: bool = False) -> ReviewDetails:
        """All that there is to see of a review: the merge that it asks for, and whether it may be.

        Args:
            dataset: The dataset.
            number: The review's number.
            limit: How many paths are told.
            rows: Whether tables are compared by row and described column by column.

        Raises:
            NotFound: If there is no such review.
            CorruptData: If a table can't be read.
        """
        return details(self._ws, self._branches, dataset, number, limit=limit, rows=rows)

    def comment(self, dataset: str, number: int, new: NewComment) -> ReviewEvent:
        """Says something in a review, whatever its state.

        Raises:
            InvalidInput: If there is no text, or neither source nor target has the path.
            NotFound: If there is no such review.
        """
        rules.check_text(new.text, needed="a comment")
        review, _ = read(self._ws, dataset, number)
        source = self._branches.head(dataset, review.source)
        if new.path:
            self._check_path(review, source, new.path)
        body = EventBody(text=new.text, path=new.path, source=source.commit_id if source else "")
        return self._note(review, "commented", new.actor, body)

    def _check_path(self, review: Review, source: DatasetVersion | None, path: str) -> None:
        target = self._branches.head(review.dataset, review.target)
        for version in filter(None, (source, target)):
            if lookup(version.tree, path, self._branches.contents(version)) is not None:
                return
        raise InvalidInput(
            f"neither {review.source} nor {review.target} has a file {path[:200]!r}",
            where=review.ref,
            fix=f"name one that the review shows: treadle data review show {review.ref}",
        )

    def decide(self, dataset: str, number: int, decision: Decision) -> ReviewEvent:
        """Approves where the source stands now, asks for changes, or takes back what one decided.

        Raises:
            InvalidInput: If changes are asked for without a word.
            NotFound: If there is no such review.
            Refused: If the author approves.
            Conflict: If it isn't open, its source is gone or stands elsewhere than said, or there is
                nothing to take back.
        """
        review, events = read(self._ws, dataset, number)
        rules.check_state(review, "open", "decide")
        rules.check_decision(review, events, decision)
        source = look(self._ws, self._branches, review).there(review)
        check_commit(review, source, decision.commit)
        body = EventBody(text=decision.text, source=source.commit_id)
        with self._ws.database.write() as connection:
            review = store.lock(connection, dataset, number) or review
            rules.check_state(review, "open", "decide")
            rules.check_decision(review, store.events_of(connection, dataset, number), decision)
            return note(self._ws, connection, review, decision.decision, decision.actor, body)

    def change(self, dataset: str, number: int, asked: ReviewChange) -> Review:
        """Closes an open review, or opens a closed one again.

        Raises:
            NotFound: If there is no such review.
            Conflict: If it is in that state already, or merged.
            AlreadyExists: If another review of the same branches is open by now.
        """
        rules.check_text(asked.text)
        review, _ = read(self._ws, dataset, number)
        opens = asked.state == "open"
        with self._ws.database.write() as connection:
            store.lock_dataset(connection, dataset)
            review = store.lock(connection, dataset, number) or review
            rules.check_state(review, "closed" if opens else "open", "open again" if opens else "close")
            if opens:
                self._check_alone(connection, dataset, review.source, review.target)
            store.set_state(connection, review, asked.state)
            kind: EventKind = "reopened" if opens else "closed"
            note(self._ws, connection, review, kind, asked.actor, EventBody(text=asked.text))
        return read(self._ws, dataset, number)[0]

    def check(self, dataset: str, number: int, asked: RunGates) -> ReviewEvent:
        """Runs data checks on what the merge would make, beside what the target has.

        What they find counts for where source and target stand now.

        Raises:
            InvalidInput: If there is no such check.
            NotFound: If there is no such review.
            Conflict: If it isn't open, a branch is gone, or the merge would have conflicts.
            CorruptData: If a file can't be read.
        """
        return run_gates(self._ws, self._branches, self._judge, dataset, number, asked)

    def merge(self, dataset: str, number: int, asked: MergeReview) -> Merged:
        """Merges a review: the target moves and the review is merged, or nothing happens.

        Approvals and checks are looked at again in the transaction that moves the target. If the target
        moved meanwhile, everything is judged anew.

        Raises:
            NotFound: If there is no such review.
            Conflict: If it isn't open; approvals are missing, somebody asked for changes, a required check
                hasn't passed; the merge would have conflicts; a check before merges refused it.
            StorageFull: If no space is left; nothing was changed.
        """
        return merge(self._ws, self._branches, dataset, number, asked)

    def _note(self, review: Review, kind: EventKind, actor: str, body: EventBody) -> ReviewEvent:
        with self._ws.database.write() as connection:
            review = store.lock(connection, review.dataset, review.number) or review
            return note(self._ws, connection, review, kind, actor, body)
