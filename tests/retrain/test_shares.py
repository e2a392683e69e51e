"""Who answered which part of the requests, told from events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from treadle.kernel.types import Event
from treadle.retrain.shares import Share, shares

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(hour: float, kind: str, revision: int, version: int, **facts: str) -> Event:
    at = NOON + timedelta(hours=hour)
    named = {"revision": str(revision), "version": str(version)} | facts
    return Event(
        id=f"{hour}", at=at, recorded_at=at, subject="model:m", kind=kind, actor="a", message="", facts=named
    )


STORY = [
    event(0, "deployed", 1, 1),
    event(1, "serving", 1, 1),
    event(2, "deployed", 2, 2),
    event(2.5, "rollout_step", 2, 2, share="0.1"),
    event(3, "rollout_step", 2, 2, share="0.5"),
    event(4, "rolled_back", 2, 2),
    event(5, "deployed", 3, 3),
    event(6, "rollout_step", 3, 3, share="0"),  # a shadow answers nothing
    event(7, "rollout_finished", 3, 3),
    event(8, "serving", 3, 3),
]


def told(hour: float) -> dict[int, float]:
    return {one.version: round(one.share, 6) for one in shares(STORY, NOON + timedelta(hours=hour))}


def test_who_answered_when() -> None:
    assert told(0.5) == {}
    assert told(1) == told(2.2) == {1: 1.0}
    assert told(2.5) == {1: 0.9, 2: 0.1}
    assert told(3.9) == {1: 0.5, 2: 0.5}
    assert told(4) == told(7.5) == {1: 1.0}
    assert told(9) == {3: 1.0}


def test_a_trial_began_with_its_first_step() -> None:
    trial = shares(STORY, NOON + timedelta(hours=3.5))[-1]
    assert trial == Share(revision=2, version=2, share=0.5, since=NOON + timedelta(hours=2.5))
