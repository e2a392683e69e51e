from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from retrain.wheel import BY_HAND, make
from treadle.evaluate import Evaluation, Verdict
from treadle.kernel.config import load_config
from treadle.registry.types import Transition
from treadle.retrain import Cycle, Reign, rules

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def cycle(**changes: Any) -> Cycle:
    known: dict[str, Any] = {
        "id": "cycle_1",
        "model": "toy",
        "goal": "deploy",
        "trigger": BY_HAND,
        "as_of": NOON,
        "state": "promoted",
        "stages": (),
        "started_at": NOON,
    }
    return Cycle(**{**known, **changes})


def verdict(outcome: Any, sentence: str, check: str = "no_worse", subject: str = "overall") -> Verdict:
    return Verdict(check=check, subject=subject, outcome=outcome, sentence=sentence)


def evaluation(*verdicts: Verdict) -> Evaluation:
    return Evaluation(id="e", kind="model", at=NOON, outcome="pass", verdicts=verdicts, subject="run_1")


def move(number: int, before: Any, after: Any, days: int, **changes: Any) -> Transition:
    known = {"actor": "ada", "reason": f"because {number}"}
    return Transition(
        model="toy", number=number, before=before, after=after, at=NOON + days * DAY, **{**known, **changes}
    )


def test_the_newest_stretch_is_held_out_and_only_known_labels_count(tmp_path: Path) -> None:
    learn, hold = rules.windows(load_config(make(tmp_path / "toy")), "d", NOON)
    assert (learn.since, learn.until, learn.known_by) == (NOON - 30 * DAY, NOON - 14 * DAY, NOON)
    assert (hold.since, hold.until, hold.known_by) == (NOON - 14 * DAY, NOON, NOON)
    assert (learn.dataset, learn.version) == (hold.dataset, hold.version) == ("rows", "d")


def test_without_a_window_all_of_the_past_is_learned_from(tmp_path: Path) -> None:
    root = make(tmp_path / "toy")
    text = (root / "treadle.toml").read_text()
    (root / "treadle.toml").write_text(text.replace('window = "30d"\n', "", 1))
    learn, hold = rules.windows(load_config(root), "d", NOON)
    assert learn.since is None
    assert learn.until == hold.since == NOON - 14 * DAY


@pytest.mark.parametrize(
    ("outcomes", "by_hand", "end"),
    [
        (["pass", "pass"], False, "promoted"),
        (["pass", "pass"], True, "held"),
        (["inconclusive", "pass"], False, "held"),
        (["pass", "inconclusive"], True, "held"),
        (["inconclusive", "fail"], False, "refused"),
        (["fail", "pass"], True, "refused"),
    ],
)
def test_what_the_outcomes_lead_to(outcomes: list[str], by_hand: bool, end: str) -> None:
    assert rules.conclusion(outcomes, by_hand=by_hand) == end


def test_the_reason_is_the_worst_verdict() -> None:
    good = evaluation(verdict("pass", "fine", check="bound"), verdict("pass", "no worse overall"))
    assert rules.reason([good]) == "no worse overall"
    unsure = evaluation(verdict("inconclusive", "can't tell"), verdict("inconclusive", "nor here"))
    assert rules.reason([good, unsure]) == "can't tell (and 1 more)"
    bad = evaluation(verdict("pass", "fine"), verdict("fail", "worse for UA", subject="carrier=UA"))
    assert rules.reason([unsure, bad]) == "worse for UA"


def test_without_a_comparison_the_reason_is_the_bound_or_whatever_there_is() -> None:
    rows = verdict("pass", "enough rows", check="rows", subject="rows")
    bound = verdict("pass", "above its bound", check="bound")
    assert rules.reason([evaluation(rows), evaluation(bound)]) == "above its bound"
    group = verdict("pass", "no worse for UA", subject="carrier=UA")
    assert rules.reason([evaluation(rows, group)]) == "enough rows"


def test_reigns_are_told_from_the_changes_of_status() -> None:
    history = [
        move(1, None, "candidate", 0),
        move(1, "candidate", "production", 0),
        move(2, None, "candidate", 5),
        move(2, "candidate", "refused", 5),
        move(3, None, "candidate", 9),
        move(1, "production", "deprecated", 9, reason="replaced by toy/3"),
        move(3, "candidate", "production", 9, actor="cycle:c"),
        move(3, "production", "deprecated", 12),
        move(1, "deprecated", "production", 12, reason="back again"),
    ]
    made = [cycle(id="cycle_3", version=3, cpu_seconds=4.5), cycle(id="cycle_x", version=None)]
    assert rules.reigns(history, made) == [
        Reign(version=1, since=NOON, until=NOON + 9 * DAY, actor="ada", reason="because 1"),
        Reign(
            version=3,
            since=NOON + 9 * DAY,
            until=NOON + 12 * DAY,
            actor="cycle:c",
            reason="because 3",
            cycle="cycle_3",
            cpu_seconds=4.5,
        ),
        Reign(version=1, since=NOON + 12 * DAY, until=None, actor="ada", reason="back again"),
    ]
    assert rules.reigns([], made) == []


def test_a_replay_stops_at_every_step_and_at_the_end() -> None:
    assert rules.replay_steps(NOON, NOON + 7 * DAY, 3 * DAY) == [NOON + n * DAY for n in (3, 6, 7)]
    assert rules.replay_steps(NOON, NOON + 6 * DAY, 3 * DAY) == [NOON + n * DAY for n in (3, 6)]
    assert rules.replay_steps(NOON, NOON + DAY, 3 * DAY) == [NOON + DAY]
    assert rules.replay_steps(NOON, NOON, DAY) == []
