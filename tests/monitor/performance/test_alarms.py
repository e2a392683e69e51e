"""Alarms of a window's figures: evidence that is shared, alarms that stand, and evidence anew."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from monitor.conftest import START
from treadle.monitor import WindowResult
from treadle.monitor.performance.alarms import judged

WEEK = timedelta(days=7)


def figure(week: int, e: float | None, *, worse: bool = True, **more: object) -> WindowResult:
    one = WindowResult(
        model="toy",
        kind="estimated",
        subject="roc_auc",
        since=START + week * WEEK,
        until=START + (week + 1) * WEEK,
        version=1,
        state="inconclusive" if worse else "ok",
        statistic="roc_auc",
        value=0.5,
        n=1000,
        sentence="told",
        e_value=e,
    )
    return msgspec.structs.replace(one, **more)


def course(e_values: list[float], wanted: float = 52, **more: object) -> list[WindowResult]:
    before: list[WindowResult] = []
    for week, e in enumerate(e_values):
        before += judged([figure(week, e, **more)], before, wanted)
    return before


def states(found: list[WindowResult]) -> list[str]:
    return [one.state for one in found]


def test_evidence_adds_up_and_an_alarm_says_since_when() -> None:
    found = course([0.5, 4, 4, 4])
    assert states(found) == ["inconclusive"] * 3 + ["alert"]  # 4 * (4 * (4 * 1.5 + 1) + 1) = 116
    assert found[-1].severity == "warning"
    assert found[-1].sentence == "told: worse than allowed, since 3 windows ago at the latest"
    assert course([1e9])[0].sentence == "told: worse than allowed, since this window"


def test_an_alarm_stands_while_figures_are_worse_and_evidence_is_gathered_anew() -> None:
    before = course([60, 0.1])
    assert states(before) == ["alert", "alert"]
    assert before[-1].sentence == "told: worse than allowed"
    better = judged([figure(2, 0.1, worse=False)], before, 52)
    assert states(better) == ["ok"]
    again = judged([figure(3, 30.0)], [*before, *better], 52)
    assert states(again) == ["inconclusive"], "what was gathered before the alarm doesn't count"


def test_a_figure_that_is_as_allowed_or_missing_is_no_alarm() -> None:
    assert states(judged([figure(0, 1e9, worse=False)], [], 52)) == ["ok"]
    assert states(judged([figure(0, 1e9, value=None)], [], 52)) == ["inconclusive"]
    assert states(judged([figure(0, None)], [], 1)) == ["inconclusive"]


@pytest.mark.parametrize(("e", "alarms"), [(60, 0), (110, 1)])
def test_those_of_a_family_share_and_families_don_t_take_from_each_other(e: float, alarms: int) -> None:
    found = judged([figure(0, e), figure(0, 1.0, statistic="realised_minus_estimated")], [], 52)
    assert states(found).count("alert") == alarms
    segments = [figure(0, 1.0, segment=f"country={place}") for place in range(20)]
    assert states(judged([figure(0, 60), *segments], [], 52)).count("alert") == 1


def test_two_that_alarm_together_need_half_each() -> None:
    both = [figure(0, 60), figure(0, 60, statistic="realised_minus_estimated")]
    assert states(judged(both, [], 52)) == ["alert", "alert"]
