"""What is said of a challenger."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

Verdict = Literal["better", "worse", "open", "undecided"]
ChosenBy = Literal["hand", "trial", "config", "newest"]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """How a version that isn't in production does beside the one that is.

    Attributes:
        challenger: The version.
        production: The one in production.
        metric: What both are measured by.
        since: From when on both are compared.
        until: The end of the last day that counts; None before the first.
        days: On how many days.
        rows: On how many labelled predictions.
        blocks: How many blocks of days these are: each is one observation.
        block: How many days a block has.
        gain: By how much the challenger is better on a day, on average over the blocks; less than 0 if it
            is worse.
        low: Lower end of its interval; None where nothing can be said.
        high: Upper end of its interval; None where nothing can be said.
        e_value: The evidence that there is a difference.
        asked: The evidence that decides: 1 over the declared chance of a false decision.
        needed: After how many days in all it would be decided if it went on as so far; None where that is
            more than may be.
        most: After so many days it ends.
        correlation: How each day's gain goes together with that of the day before; None of fewer than 14.
        verdict: Better, worse, open; or undecided, once it has ended.
    """

    challenger: str
    production: str
    metric: str
    since: datetime
    until: datetime | None
    days: int
    rows: int
    blocks: int
    block: int
    gain: float
    low: float | None
    high: float | None
    e_value: float
    asked: float
    needed: int | None
    most: int
    correlation: float | None
    verdict: Verdict

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        if not self.days:
            return f"{self.challenger} beside {self.production}: no day has its labels yet"
        seen = f"on {self.days} days in {self.blocks} blocks and {self.rows:,} labelled rows"
        if self.low is None or self.high is None:
            few = "too few to tell" if self.verdict == "open" else f"too few to tell in {self.most} days"
            return f"{self.challenger} beside {self.production}: {seen}, {few}"
        interval = f"{self.low:+.4f} to {self.high:+.4f} at every look"
        said = {
            "better": "is better",
            "worse": "is worse",
            "open": "can't be told apart yet",
            "undecided": f"couldn't be told apart in {self.most} days",
        }[self.verdict]
        return (
            f"{self.challenger} beside {self.production}: {said}; by {self.metric} it gains {self.gain:+.4f} "
            f"a day ({interval}), {seen}"
        )


class Challenger(msgspec.Struct, frozen=True, kw_only=True):
    """Which version is held beside production, why, and what is known of it so far.

    Attributes:
        model: The model.
        production: The version in production; None before the first.
        challenger: The version that is held beside it; None where none is.
        chosen: What it was chosen by: somebody by hand; a trial that only people end (shadow, challenger);
            ``[retrain.challenger] version``; or being the newest that was refused or held.
        why: The same in words; or why none is held.
        held_since: Since when it is held, if it was started by hand.
        actor: Who did so.
        found: How it does; None where none is held, or nothing can be said.
        problem: Why nothing can be said.
    """

    model: str
    production: str | None
    challenger: str | None
    chosen: ChosenBy | None
    why: str
    held_since: datetime | None = None
    actor: str = ""
    found: Compared | None = None
    problem: str = ""


class StartChallenger(msgspec.Struct, frozen=True, kw_only=True):
    """A version that somebody wants held beside production.

    Attributes:
        version: Its number.
        reason: Why.
        actor: Who asks; filled in by the client.
    """

    version: Annotated[int, msgspec.Meta(ge=1)]
    reason: Annotated[str, msgspec.Meta(min_length=1)]
    actor: str = "api"


class StopChallenger(msgspec.Struct, frozen=True, kw_only=True):
    """That no version is to be held beside production any more.

    Attributes:
        reason: Why.
        actor: Who asks; filled in by the client.
    """

    reason: Annotated[str, msgspec.Meta(min_length=1)]
    actor: str = "api"
