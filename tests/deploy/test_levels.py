"""Error budgets and burn rates: by the numbers of the SRE workbook, from counts as replicas report them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from test_service import deployments, report, workspace  # noqa: F401

from treadle.deploy import Counts, ServiceLevel, service_levels
from treadle.deploy import minutes as table
from treadle.deploy.levels import BUDGET, SPANS, levels
from treadle.deploy.types import Moment
from treadle.kernel.config import ObjectiveConfig

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
THREE_NINES = ObjectiveConfig(availability=99.9)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def steady(share: float, span: timedelta = BUDGET, rate: int = 1000) -> dict[timedelta, Counts]:
    """Counts where a share has failed for so long up to now, at so many requests a minute."""
    found = {}
    for one in SPANS:
        minutes, failing = one // MINUTE, min(one, span) // MINUTE
        found[one] = Counts(minutes * rate, round(failing * rate * share), 0)
    return found


def level(totals: dict[timedelta, Counts], objective: ObjectiveConfig = THREE_NINES) -> ServiceLevel:
    (found,) = levels(objective, totals, [])
    return found


def burning(found: ServiceLevel) -> list[str]:
    return [one.long for one in found.burns if one.burning]


@pytest.mark.parametrize(
    ("share", "span", "expected"),
    [
        # The workbook's table 5-8: 2 % of the budget in an hour, 5 % in six, 10 % in three days.
        (0.00099, BUDGET, []),
        (0.00101, BUDGET, ["3d"]),
        (0.0061, BUDGET, ["6h", "3d"]),
        (0.0145, BUDGET, ["1h", "6h", "3d"]),
        (0.0145, HOUR, ["1h"]),
        (0.0143, HOUR, []),
        # Everything fails for two minutes: 33 times the rate in an hour, and still in the last five minutes.
        (1.0, 2 * MINUTE, ["1h"]),
    ],
)
def test_a_budget_that_burns_is_told_by_the_workbooks_windows(share, span, expected) -> None:
    assert burning(level(steady(share, span))) == expected


def test_what_is_over_does_not_burn_any_more() -> None:
    totals = steady(1.0, 10 * MINUTE)
    for short in (timedelta(minutes=5), timedelta(minutes=30)):
        totals[short] = Counts(totals[short].requests, 0, 0)
    found = level(totals)
    assert burning(found) == ["3d"]


def test_the_budget_is_what_may_fail_in_thirty_days() -> None:
    half = level(steady(0.0005))
    assert half.budget_left == pytest.approx(0.5)
    assert (half.bad, half.requests) == (21_600, 43_200_000)
    assert (
        half.sentence
        == "99.9 % of the requests are to be answered without an error; 50% of the budget is left"
    )
    assert level(steady(0.002)).budget_left == pytest.approx(-1.0)
    assert "overdrawn by 100%" in level(steady(0.002)).sentence
    none = level({span: Counts() for span in SPANS})
    assert (none.budget_left, burning(none), none.fallen) == (None, [], False)


def test_a_few_bad_requests_of_a_few_wake_nobody() -> None:
    assert burning(level({span: Counts(3, 2, 0) for span in SPANS})) == []
    assert burning(level({span: Counts(30, 20, 0) for span in SPANS})) == ["1h", "6h", "3d"]


def test_latency_is_a_level_of_its_own() -> None:
    objective = ObjectiveConfig(p99_ms=50, availability=99)
    totals = {span: Counts(10_000, 0, 200) for span in SPANS}
    found = {one.name: one for one in levels(objective, totals, [])}
    assert found["latency"].budget_left == pytest.approx(-1.0)
    assert burning(found["latency"]) == ["3d"]
    assert found["availability"].budget_left == 1.0
    assert list(levels(ObjectiveConfig(rate=5), totals, [])) == []


def test_a_level_that_has_fallen_says_of_which_requests() -> None:
    totals = {span: Counts(10**6, 0, 0) for span in SPANS}
    (found,) = levels(THREE_NINES, totals, after_a_while(Counts(20, 8, 20), 16))
    assert found.fallen
    assert found.sentence.endswith("; fallen: 128 of 320 requests of the last 16 seconds were not")
    (found,) = levels(ObjectiveConfig(p99_ms=50), totals, after_a_while(Counts(20, 0, 8), 16))
    assert found.fallen
    assert not level(totals).fallen


def test_what_is_slow_must_last_longer_than_what_fails() -> None:
    totals = {span: Counts(10**6, 0, 0) for span in SPANS}
    recent = after_a_while(Counts(20, 20, 20), 8)
    found = {one.name: one for one in levels(ObjectiveConfig(p99_ms=50, availability=99.9), totals, recent)}
    assert found["availability"].fallen
    assert not found["latency"].fallen


def test_a_fall_is_what_burns_faster_than_the_slowest_rate_that_wakes_somebody() -> None:
    totals = {span: Counts(10**6, 0, 0) for span in SPANS}
    for share, fallen in ((5, False), (6, False), (9, True)):  # of a hundred, where one may be slow
        recent = after_a_while(Counts(1000, 0, 10 * share), 60)
        (found,) = levels(ObjectiveConfig(p99_ms=50), totals, recent)
        assert found.fallen == fallen


def after_a_while(counts: Counts, seconds: int) -> list[Moment]:
    """Half a minute in which all is well, and seconds that come to so much each."""
    every = [Counts(counts.requests)] * 30 + [counts] * seconds
    return [Moment(float(at), one) for at, one in enumerate(every)]


# ── counts, on each kind of metadata store ───────────────────────────────


@pytest.fixture
def promised(workspace, deployments, monkeypatch) -> Iterator:  # noqa: F811
    import msgspec

    serve = msgspec.structs.replace(workspace.config.serve, objective=THREE_NINES)
    workspace.config = msgspec.structs.replace(workspace.config, serve=serve)
    return deployments


def test_counts_are_kept_by_the_minute_and_survive_a_restart(promised, workspace) -> None:  # noqa: F811
    promised.deploy("toy", 1, "me", "first", "k1")

    def tell(requests: int, errors: int, at: datetime, process: str = "p1", replica: str = "a") -> None:
        told = report(1, requests=requests, errors=errors, process=process, replica=replica)
        promised.report(told, at)

    tell(500, 50, NOON)  # whose beginning nobody has seen
    tell(600, 51, NOON + timedelta(seconds=1))
    tell(700, 51, NOON + MINUTE)
    tell(30, 1, NOON + MINUTE + timedelta(seconds=30), "p2")
    tell(0, 0, NOON + MINUTE, replica="b")
    tell(40, 0, NOON + MINUTE + timedelta(seconds=40), replica="b")
    now = NOON + MINUTE + timedelta(seconds=59)
    with workspace.database.read() as connection:
        found = table.totals(connection, "toy", now, SPANS)
        assert found[BUDGET] == found[HOUR] == Counts(270, 2, 0)
        assert table.totals(connection, "toy", now + MINUTE, [MINUTE])[MINUTE] == Counts()
        assert table.totals(connection, "toy", now, [MINUTE])[MINUTE] == Counts(170, 1, 0)
        counts = {1: Counts(100, 1, 0), 60: Counts(100, 0, 0), 90: Counts(30, 1, 0), 100: Counts(40, 0, 0)}
        stretches = [Moment(NOON.timestamp() + second, one) for second, one in counts.items()]
        assert table.recent(connection, "toy", now) == stretches
        assert table.recent(connection, "toy", now + 4 * MINUTE + timedelta(seconds=31)) == stretches[3:]
        assert table.recent(connection, "toy", now, "staging") == []
        assert table.totals(connection, "other", now, SPANS)[BUDGET] == Counts()
    (got,) = service_levels(workspace, "toy", now).levels
    assert (got.requests, got.bad) == (270, 2)
    assert promised.status("toy", now).levels == service_levels(workspace, "toy", now)
    assert promised.desired("toy").slow_ms is None


def test_minutes_are_forgotten_after_a_month(workspace) -> None:  # noqa: F811
    with workspace.database.write() as connection:
        for days in (40, 32, 20, 0):
            table.add(connection, "toy", NOON - timedelta(days=days), Counts(10, 1, 0))
        table.add(connection, "toy", NOON, Counts(5, 0, 2))
        table.add(connection, "toy", NOON, Counts(0, 0, 0))
    import sqlalchemy as sa

    with workspace.database.read() as connection:
        rows = connection.execute(sa.select(table.minutes).order_by(table.minutes.c.minute)).all()
    assert [(row.minute, row.requests, row.errors, row.slow) for row in rows] == [
        (NOON - timedelta(days=20), 10, 1, 0),
        (NOON, 15, 1, 2),
    ]


def test_one_that_should_answer_and_is_not_heard_of_is_silent(promised, workspace) -> None:  # noqa: F811
    assert not service_levels(workspace, "toy", NOON).silent
    promised.deploy("toy", 1, "me", "first", "k1")
    promised.report(report(1), NOON)
    found = service_levels(workspace, "toy", NOON + timedelta(seconds=9))
    assert (found.silent, found.gone, found.version) == (False, "", 1)
    found = service_levels(workspace, "toy", NOON + timedelta(seconds=11))
    assert (found.silent, found.gone) == (True, "no replica has been heard of since 12:00:00 UTC")
    assert promised.status("toy", NOON + HOUR).levels.gone == found.gone
    assert service_levels(workspace, "toy", NOON + timedelta(days=2)).gone == ""
    promised.report(report(None), NOON + MINUTE)
    found = service_levels(workspace, "toy", NOON + MINUTE)
    assert (found.silent, found.gone) == (False, "of 1 replicas that run none has loaded a version")


def test_errors_are_told_where_nothing_is_declared(deployments, workspace) -> None:  # noqa: F811
    deployments.deploy("toy", 1, "me", "first", "k1")
    for second in range(0, 60, 5):
        at = NOON + timedelta(seconds=second)
        deployments.report(report(1, requests=second * 4, errors=max(0, second - 30) * 4), at)
        found = service_levels(workspace, "toy", at)
        assert found.levels == ()
        assert bool(found.failing) == (second >= 50), second
    assert found.failing.startswith("100 of 100 requests of the last 21 seconds were answered with an error")
