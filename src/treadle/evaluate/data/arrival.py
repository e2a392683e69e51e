"""When rows came, and how many: freshness, and volume beside days of the same weekday."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta

from treadle.evaluate.data.arrivals import Arrivals
from treadle.evaluate.data.part import NEGLIGIBLE, Asks, Facts, Finding, Part, Sizes, Test, say, sure
from treadle.evaluate.data.suite import WHERE, Suite
from treadle.evaluate.data.volumes import Volume, expect
from treadle.evaluate.holdout import require
from treadle.evaluate.types import Planned, Verdict
from treadle.evaluate.wording import percent
from treadle.kernel.errors import InvalidInput
from treadle.kernel.scan.asks import CountDays, FindExtent
from treadle.kernel.scan.columns import Column, Columns
from treadle.kernel.units import format_duration, parse_duration

_DAY = timedelta(days=1)
_LAST_HOUR = 23
_STEADY = 0.005
_SEEN = 0.0005


class Freshness(Part):
    """The newest row is young enough, and not of the future.

    Args:
        suite: The suite.
        column: When a row happened.
        now: The time now.
        arrivals: When all of the dataset's rows came; else the rows that are checked are asked.
    """

    def __init__(
        self, suite: Suite, column: Column, now: datetime, arrivals: Callable[[], Arrivals] | None
    ) -> None:
        self._allowed = parse_duration(str(suite.checks.freshness))
        self._column, self._now, self._arrivals = column, now, arrivals

    def asks(self) -> Asks:
        """The newest row."""
        return () if self._arrivals else (FindExtent(self._column.name),)

    def asks_held(self) -> Asks:
        """The same."""
        return self.asks()

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """One verdict."""
        name, found = self._column.name, self._newest(facts)
        if not isinstance(found, date):
            yield say("freshness", name, "inconclusive", f"{name}: no row has a time.", n=facts.rows)
            return
        newest = moment_of(found)
        age = self._now - newest
        ahead = age < -_DAY
        days, allowed = age / _DAY, self._allowed / _DAY
        told = f"{newest:%Y-%m-%d %H:%M}"
        old = format_duration(max(round(age.total_seconds() / 60) * 60, 60))
        sentence = f"{name}: the newest row is of {told}, {old} ago; {_length(self._allowed)} is allowed."
        if ahead:
            sentence = f"{name}: the newest row is of {told}, which lies in the future."
        yield say(
            "freshness",
            name,
            "fail" if ahead or age > self._allowed else "pass",
            sentence,
            estimate=days,
            bound=allowed,
            n=facts.rows,
        )

    def _newest(self, facts: Facts) -> object:
        return (
            self._arrivals().newest if self._arrivals else facts.overall(FindExtent(self._column.name)).high
        )

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """The age allowed."""
        limit = _length(self._allowed)
        yield sure("freshness", self._column.name, f"the newest row is at most {limit} old", sizes)


def _length(length: timedelta) -> str:
    return format_duration(length.total_seconds())


def moment_of(found: date) -> datetime:
    """A day's midnight in UTC, or the moment itself."""
    return found if isinstance(found, datetime) else datetime.combine(found, time(), UTC)


class VolumeByDay(Part):
    """The newest whole day has as many rows as days of its weekday, and their trend, let expect.

    Args:
        suite: The suite.
        column: When a row happened.
        now: The time now.
        arrivals: When all of the dataset's rows came; else the rows that are checked are asked.
    """

    def __init__(
        self, suite: Suite, column: Column, now: datetime, arrivals: Callable[[], Arrivals] | None
    ) -> None:
        self._suite, self._column, self._now, self._arrivals = suite, column, now, arrivals

    def asks(self) -> Asks:
        """The rows of each day, and when the newest row happened."""
        return () if self._arrivals else (CountDays(self._column.name), FindExtent(self._column.name))

    def asks_held(self) -> Asks:
        """The same."""
        return self.asks()

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """A test of one day."""
        name, came = self._column.name, self._came(facts)
        newest = newest_whole(came.days, came.newest, came.settled)
        if newest is None:
            yield say("volume", name, "inconclusive", f"{name}: no whole day has passed yet.", n=facts.rows)
            return
        yield judge_volume(self._suite, newest, came.days, f"{name}: ")

    def _came(self, facts: Facts) -> Arrivals:
        if self._arrivals:
            return self._arrivals()
        high = facts.overall(FindExtent(self._column.name)).high
        days = dict(facts.overall(CountDays(self._column.name)).counts)
        return Arrivals(high if isinstance(high, date) else None, days, self._now)

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """The test; what can be detected depends on how days differ, which isn't known yet."""
        yield plan_volume(self._suite, self._column.name, sizes)


class VolumeByVersion(Part):
    """There are as many rows as earlier versions of the same weekday, and their trend, let expect.

    Args:
        suite: The suite.
        history: The rows of earlier versions, by the day that they were made; of several the last.
        now: The time now.
    """

    def __init__(self, suite: Suite, history: Mapping[date, int], now: datetime) -> None:
        self._suite, self._history, self._today = suite, history, now.date()

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """A test of this version."""
        days = {day: count for day, count in self._history.items() if day < self._today}
        yield judge_volume(self._suite, self._today, {**days, self._today: facts.rows}, "", whole=False)

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """The test."""
        yield plan_volume(self._suite, "rows", sizes)


def newest_whole(days: Mapping[date, int], high: date | None, now: datetime) -> date | None:
    """The newest day that has passed and whose rows are all here.

    The last day with rows may be cut short by when the rows were fetched: it counts as whole only if its
    last row lies in its last hour, or if times are days.
    """
    past = [day for day in days if day < now.date()]
    if not past or high is None:
        return None
    last = max(past)
    cut = isinstance(high, datetime) and high.date() == last and high.hour < _LAST_HOUR
    return last if not cut else max((day for day in past if day < last), default=None)


def judge_volume(
    suite: Suite, day: date, days: Mapping[date, int], prefix: str, *, whole: bool = True
) -> Finding:
    """The test of one day's rows beside those of its weekday."""
    allowed = suite.checks.max_volume_change or 0.0
    found = expect(days, day, whole=whole)
    told = f"{prefix}{day:%A %Y-%m-%d} has {days[day]:,} rows"
    if not isinstance(found, Volume):
        return say("volume", "rows", "inconclusive", f"{told}; {found}.", n=days[day], unit="rows")
    low, high = found.interval(suite.alpha)
    change = days[day] / found.expected - 1
    more = f"{percent(abs(change))} {'more' if change > 0 else 'less'} than"
    if abs(change) < _SEEN:
        more = "as many as"
    return Test(
        Verdict(
            check="volume",
            subject="rows",
            outcome="pass",
            sentence=f"{told}, {more} the {found.expected:,.0f} expected from {found.days:,} earlier ones"
            f"{_growth(found.trend)}; {percent(allowed)} more or less is allowed",
            hypothesis="the day has as many rows as its weekday and the trend let expect",
            test="Holm-adjusted prediction by the median along a repeated-median trend, spread by median "
            "absolute deviations of weekly changes and of earlier predictions; t interval",
            statistic=found.statistic,
            estimate=change,
            low=days[day] / high - 1,
            high=days[day] / low - 1,
            bound=math.copysign(allowed, change),
            p_value=found.p_value,
            n=found.days,
            unit="days",
        ),
        beyond=abs(change) > allowed,
        passes=abs(change) <= allowed,
        notable=abs(change) >= NEGLIGIBLE * allowed,
        doubt=", but days differ so much that chance explains it",
    )


def _growth(trend: float) -> str:
    """A trend that can be seen, as the end of a sentence."""
    if abs(trend) < _STEADY:
        return ""
    return f", which {'grow' if trend > 0 else 'shrink'} by {percent(abs(trend))} a week"


def plan_volume(suite: Suite, subject: str, sizes: Sizes) -> Planned:
    """The plan of the test."""
    allowed = percent(suite.checks.max_volume_change or 0.0)
    return Planned(
        check="volume",
        subject=subject,
        hypothesis="the newest day has as many rows as its weekday and the trend let expect",
        sentence=f"the newest day has at most {allowed} more or less rows than days of its weekday and their "
        f"trend let expect, in {sizes.rows:,} rows.",
        n=sizes.rows,
    )


def arrival_parts(
    suite: Suite,
    columns: Columns,
    now: datetime,
    history: Mapping[date, int] | None,
    arrivals: Callable[[], Arrivals] | None,
) -> list[Part]:
    """The checks of arrival that a suite asks for.

    Raises:
        InvalidInput: If the time that they need isn't there, or is none.
    """
    parts: list[Part] = []
    if suite.checks.freshness is not None:
        parts.append(Freshness(suite, _time(suite, columns, "freshness"), now, arrivals))
    if suite.checks.max_volume_change is not None:
        if suite.time is None and history is not None:
            parts.append(VolumeByVersion(suite, history, now))
        else:
            column = _time(suite, columns, "max_volume_change")
            parts.append(VolumeByDay(suite, column, now, arrivals))
    return parts


def _time(suite: Suite, columns: Columns, key: str) -> Column:
    where = f"{WHERE} {key}"
    if suite.time is None:
        raise InvalidInput(
            "it needs to know when a row happened",
            where=where,
            fix="declare `time` in the dataset's [data.*]",
        )
    require([suite.time], columns, where)
    if not columns[suite.time].is_time:
        found = columns[suite.time].type
        raise InvalidInput(f"{suite.time!r} is {found}, neither date nor timestamp", where=where)
    return columns[suite.time]
