"""What the client asks of reviews of data."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

from msgspec.structs import replace

from treadle.client.calls import Calls
from treadle.data import (
    Decision,
    Merged,
    MergeReview,
    NewComment,
    NewReview,
    Review,
    ReviewChange,
    ReviewDetails,
    ReviewEvent,
    RunGates,
)


class ReviewCalls(Calls):
    """Calls of the routes of reviews."""

    def data_reviews(
        self,
        dataset: str,
        state: Literal["open", "merged", "closed"] | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> list[Review]:
        """The reviews of a dataset, the newest first."""
        found: list[Review] = self._ask(
            list[Review], "GET", _of(dataset), state=state, limit=limit, before=before
        )
        return found

    def open_data_review(self, dataset: str, new: NewReview) -> Review:
        """Opens a review of a branch that shall be merged into another."""
        made: Review = self._ask(Review, "POST", _of(dataset), replace(new, actor=_actor()))
        return made

    def data_review(
        self, dataset: str, number: int, limit: int = 1000, *, rows: bool = False
    ) -> ReviewDetails:
        """A review, the merge that it asks for, and whether it may be."""
        asked = {"rows": "1"} if rows else {}
        found: ReviewDetails = self._ask(
            ReviewDetails, "GET", f"{_of(dataset)}/{number}", limit=limit, **asked
        )
        return found

    def comment_on_data(self, dataset: str, number: int, text: str, path: str = "") -> ReviewEvent:
        """Says something in a review, about a path or the whole."""
        new = NewComment(text=text, path=path, actor=_actor())
        said: ReviewEvent = self._ask(ReviewEvent, "POST", f"{_of(dataset)}/{number}/comments", new)
        return said

    def decide_data_review(self, dataset: str, number: int, decision: Decision) -> ReviewEvent:
        """Approves where the source stands, asks for changes, or takes either back."""
        asked = replace(decision, actor=_actor())
        done: ReviewEvent = self._ask(ReviewEvent, "POST", f"{_of(dataset)}/{number}/decisions", asked)
        return done

    def check_data_review(self, dataset: str, number: int, names: tuple[str, ...] = ()) -> ReviewEvent:
        """Runs data checks on what the merge would make; those that are required, when none is named."""
        asked = RunGates(names=names, actor=_actor())
        done: ReviewEvent = self._ask(ReviewEvent, "POST", f"{_of(dataset)}/{number}/checks", asked)
        return done

    def change_data_review(self, dataset: str, number: int, asked: ReviewChange) -> Review:
        """Closes a review, or opens it again."""
        asked = replace(asked, actor=_actor())
        changed: Review = self._ask(Review, "POST", f"{_of(dataset)}/{number}/state", asked)
        return changed

    def merge_data_review(self, dataset: str, number: int, asked: MergeReview) -> Merged:
        """Merges a review that is approved and whose required checks pass."""
        asked = replace(asked, actor=_actor())
        done: Merged = self._ask(Merged, "POST", f"{_of(dataset)}/{number}/merge", asked)
        return done


def _of(dataset: str) -> str:
    return f"/v1/datasets/{quote(dataset, safe='')}/reviews"


def _actor() -> str:
    from treadle.client.client import actor

    return actor()
