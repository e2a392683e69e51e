"""Which alerts belong together, how bad they are, and when somebody is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from treadle.monitor import Alert, Mute, WindowResult
from treadle.monitor.incidents import rules

DAY = timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)


def alert(
    day: float = 0, kind: str = "input", version: int = 1, subjects: tuple[str, ...] = ("hour",)
) -> Alert:
    return Alert(
        id=f"toy-{kind}-{day}",
        model="toy",
        kind=kind,  # type: ignore[arg-type]
        at=START + day * DAY,
        subjects=subjects,
        sentence=f"{kind} of {', '.join(subjects)}",
        version=version,
    )


def window(day: float = 0, kind: str = "input", state: str = "alert", **more: Any) -> WindowResult:
    found = WindowResult(
        model="toy",
        kind=kind,  # type: ignore[arg-type]
        subject="hour",
        since=START + (day - 7) * DAY,
        until=START + day * DAY,
        version=1,
        state=state,  # type: ignore[arg-type]
        statistic="psi",
        value=0.4,
        limit=0.1,
        n=900,
        sentence="hour drifted",
    )
    return msgspec.structs.replace(found, **more)


def incident(day: float = 0, **more: Any) -> Any:
    opened = rules.opened(alert(day), 1, "warning", START)
    return msgspec.structs.replace(opened, **more)


def test_what_breaks_together_is_one_incident() -> None:
    one = incident()
    assert rules.home(alert(3, "performance"), [one], {}, 14 * DAY) == one
    assert rules.home(alert(14), [one], {}, 14 * DAY) == one
    assert rules.home(alert(14.1), [one], {}, 14 * DAY) is None
    assert rules.home(alert(3, version=2), [one], {}, 14 * DAY) is None, "another version is another story"
    assert rules.home(alert(3), [incident(state="resolved")], {}, 14 * DAY) is None
    late = incident(2, id="toy-2")
    assert rules.home(alert(3), [one, late], {}, 14 * DAY) == late
    assert rules.home(alert(3), [], {}, 14 * DAY) is None


def test_what_an_incident_tells_of_already_is_no_news() -> None:
    one, late = incident(), incident(60, id="toy-2")
    told = {"toy-1": {("input", "hour"), ("input", "carrier")}, "toy-2": {("performance", "roc_auc")}}
    again = alert(70, subjects=("hour",))
    assert rules.home(again, [one, late], told, 14 * DAY) == one, "however long it has stood"
    assert rules.joined(one, again, "info", told["toy-1"]).last_at == one.last_at
    mostly = alert(70, subjects=("hour", "distance"))
    assert rules.home(mostly, [one, late], told, 14 * DAY) == one
    assert rules.home(mostly, [one], told, DAY) == one
    other = alert(70, subjects=("distance", "weight", "hour"))
    assert rules.home(other, [one, late], told, 14 * DAY) == late
    assert rules.home(other, [one], told, 14 * DAY) is None
    assert rules.home(alert(70, "quality"), [one], told, 14 * DAY) is None, "another monitor says so"


@pytest.mark.parametrize(
    ("kinds", "standing", "on"),
    [
        (("input",), [window()], True),
        (("input",), [window(subject="distance")], False),
        (("input",), [window(state="ok")], False),
        (("input",), [window(explained_by="quality:hour:nulls")], False),
        (("input", "performance"), [window()], False),
        (("input", "performance"), [window(kind="performance", subject="roc_auc")], True),
    ],
)
def test_another_version_may_be_in_the_same_trouble(
    kinds: tuple[str, ...], standing: list[WindowResult], on: bool
) -> None:
    told: Any = {("input", "hour"), ("performance", "roc_auc")}
    assert rules.goes_on(incident(kinds=kinds), told, standing) == on


def test_an_incident_is_as_bad_as_its_worst_alert() -> None:
    one = incident(state="acknowledged", acknowledged_by="ann")
    after = rules.joined(one, alert(2, "performance", subjects=("roc_auc",)), "critical")
    assert (after.severity, after.kinds, after.subjects) == (
        "critical",
        ("input", "performance"),
        ("hour", "roc_auc"),
    )
    assert (after.state, after.acknowledged_by, after.last_at) == ("acknowledged", "ann", START + 2 * DAY)
    assert rules.is_worse(one, after)
    assert not rules.is_worse(after, rules.joined(after, alert(3), "info"))


def test_a_monitor_that_says_how_bad_it_is_is_believed() -> None:
    both = [window(kind="quality", severity="critical"), window(kind="quality", severity="warning")]
    assert rules.severity(alert(kind="quality"), both) == "critical"
    assert rules.severity(alert(), [window(severity="critical")]) == "warning", "drift wakes nobody"
    assert rules.severity(alert(), [window()]) == "info"
    assert rules.severity(alert(kind="performance"), [window(severity="warning")]) == "critical"
    assert set(rules.USUAL.values()) <= set(rules.SEVERITIES)


def test_another_version_takes_its_place() -> None:
    one = incident()
    assert rules.successor(one, [window(7, version=2, kind="prediction"), window(7, version=2)]) == 2
    assert rules.successor(one, [window(7)]) is None
    assert rules.successor(one, []) is None, "nothing was looked at"
    lasting = incident(kinds=("operations",))
    assert rules.successor(lasting, [window(7, version=2)]) is None, "the service may fail as before"


def test_it_is_over_when_every_monitor_is_fine_again() -> None:
    one = incident()
    assert rules.is_over(one, [window(7, state="ok")])
    assert not rules.is_over(one, [window(7, state="ok"), window(7, segment="a", state="alert")])
    assert not rules.is_over(one, [window(7, state="inconclusive")]), "too few rows tell nothing"
    assert not rules.is_over(one, [window(7, kind="prediction", state="ok")])
    assert not rules.is_over(incident(state="resolved"), [window(7, state="ok")])


def test_what_quality_does_not_name_is_well() -> None:
    one = incident(kinds=("quality",))
    assert not rules.is_over(one, [window(7, "quality")])
    assert rules.is_over(one, [window(7, "quality", "ok", subject="inputs")])
    assert rules.is_over(one, [window(7, "quality", subject="distance")]), "another column's trouble"
    assert not rules.is_over(one, [window(7, "quality", "inconclusive", subject="inputs")])
    assert not rules.is_over(one, [window(7, "input", "ok")]), "its own monitor has to say so"
    both = incident(kinds=("quality", "input"))
    assert not rules.is_over(both, [window(7, "quality", "ok", subject="inputs"), window(7)])


def test_what_nobody_takes_is_escalated_once() -> None:
    drifted = incident()
    assert rules.escalated(drifted, START + DAY).severity == "warning"
    assert rules.escalated(incident(severity="info"), START + DAY).severity == "warning"
    one = incident(kinds=("input", "quality"))
    assert not rules.is_left_alone(one, START + 0.9 * DAY, DAY)
    assert rules.is_left_alone(one, START + DAY, DAY)
    after = rules.escalated(one, START + DAY)
    assert (after.severity, after.escalated_at) == ("critical", START + DAY)
    assert not rules.is_left_alone(after, START + 9 * DAY, DAY)
    assert rules.escalated(after, START + DAY).severity == "critical"
    assert not rules.is_left_alone(incident(state="acknowledged"), START + 9 * DAY, DAY)


@pytest.mark.parametrize(
    ("kind", "subject", "quiet"),
    [
        ("", "", True),
        ("input", "", True),
        ("prediction", "", False),
        ("", "hour", True),
        ("input", "day", False),
    ],
)
def test_a_mute_covers_what_it_names(kind: str, subject: str, quiet: bool) -> None:
    mute = Mute(
        id="m", model="toy", since=START, until=START + DAY, by="ann", reason="x", kind=kind, subject=subject
    )
    assert rules.is_muted("input", ("hour",), START + 0.5 * DAY, [mute]) == quiet
    assert not rules.is_muted("input", ("hour",), START + DAY, [mute]), "its end is exclusive"
    assert not rules.is_muted("input", ("hour",), START - 0.1 * DAY, [mute])


def test_an_alert_of_several_columns_is_quiet_if_all_of_them_are() -> None:
    def mute(subject: str) -> Mute:
        return Mute(id="m", model="toy", since=START, until=START + DAY, by="a", reason="x", subject=subject)

    both = ("hour", "day")
    assert not rules.is_muted("input", both, START, [mute("hour")])
    assert rules.is_muted("input", both, START, [mute("hour"), mute("day")])


def test_pauses_grow_to_an_hour() -> None:
    seconds = [rules.wait(attempt).total_seconds() for attempt in (1, 2, 3, 9, 10, 500)]
    assert seconds == [10, 20, 40, 2560, 3600, 3600]


def test_causes_come_likeliest_first() -> None:
    """Broken data before drift, drift by importance times excess, the metric last."""
    windows = [
        window(0, state="ok", value=0.05),
        window(7),
        window(14, value=0.5, importance=0.1),
        window(14, subject="day", value=0.3, importance=0.9),
        window(14, kind="quality", subject="day", statistic="nulls"),
        window(14, kind="performance", subject="roc_auc", statistic="roc_auc"),
        window(14, subject="calm", state="ok"),
        window(21, value=9.0),
    ]
    found = rules.causes(windows, START, START + 14 * DAY)
    assert [(cause.kind, cause.subject) for cause in found] == [
        ("quality", "day"), ("input", "day"), ("input", "hour"), ("performance", "roc_auc")
    ]  # fmt: skip
    assert (found[2].since, found[2].course) == (START, (0.05, 0.4, 0.5))
    assert found[2].ends == (START, START + 7 * DAY, START + 14 * DAY)
    assert found[1].weight == pytest.approx(0.9 * 2)
    assert rules.causes(windows, START + 30 * DAY, START + 60 * DAY) == ()


def test_a_cause_that_has_passed_says_since_when() -> None:
    null, calm = {"subject": "day", "statistic": "nulls"}, {"subject": "inputs", "statistic": "failed"}
    stands = [window(7, kind="quality", **null), window(7)]
    few = window(14, kind="quality", state="inconclusive", **calm), window(14, state="inconclusive")
    for later in ((), few):
        found = rules.causes([*stands, *later], START, START + 14 * DAY)
        assert [cause.until for cause in found] == [None, None], "too few rows to tell say nothing"
    well = [window(14, kind="quality", state="ok", **calm), window(14, state="ok")]
    found = rules.causes([*stands, *well], START, START + 14 * DAY)
    assert [cause.until for cause in found] == [START + 7 * DAY] * 2
    other = window(14, kind="quality", subject="hour", statistic="unseen")  # what it doesn't name is well
    found = rules.causes([*stands, other], START, START + 14 * DAY)
    assert {(one.kind, one.subject): one.until for one in found} == {
        ("quality", "day"): START + 7 * DAY, ("quality", "hour"): None, ("input", "hour"): None
    }  # fmt: skip


def test_segments_that_drift_as_all_rows_do_are_no_causes_of_their_own() -> None:
    parts = [window(7, segment=f"carrier={name}", explained_by="input:hour") for name in ("AA", "UA")]
    found = rules.causes([window(7), *parts], START, START + 7 * DAY)
    assert [cause.segment for cause in found] == [""]
    assert rules.affected(incident(), found) == "all rows of toy/1"
    alone = msgspec.structs.replace(parts[0], explained_by="")
    [cause] = rules.causes([window(7, state="ok"), alone, parts[1]], START, START + 7 * DAY)
    assert cause.segment == "carrier=AA"


def test_the_same_occasion_is_the_same_notice() -> None:
    one = incident()
    assert rules.notice(one, "opened", START, "x").id == rules.notice(one, "opened", START, "y").id
    assert rules.notice(one, "worse", START, "x").id != rules.notice(one, "opened", START, "x").id
