from datetime import UTC, datetime, timedelta

from treadle.kernel.clock import ManualClock, ReplayableClock, SystemClock

PAST = datetime(2013, 4, 1, tzinfo=UTC)


def test_the_systems_clock_is_the_machines_in_utc():
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)


def test_a_manual_clock_stands_until_it_is_moved():
    clock = ManualClock(PAST)
    assert clock.now() == clock.now() == PAST
    clock.at += timedelta(days=1)
    assert clock.now() == datetime(2013, 4, 2, tzinfo=UTC)


def test_a_replayable_clock_follows_the_replay_while_there_is_one():
    times = iter([PAST, None])
    clock = ReplayableClock(lambda: next(times))
    assert clock.now() == PAST
    before = datetime.now(UTC)
    assert clock.now() >= before
