"""Whether a replica gets on: idle, busy and hung ones are told apart."""

from __future__ import annotations

import pytest

from treadle.deploy.replica.pulse import Pulse


class Replica:
    """What a pulse looks at, and a clock that is set by hand."""

    def __init__(self, usual: float = 0.01, timeout: float = 30.0, restarted: str = "") -> None:
        self.at = 100.0
        self.busy: list[float | None] = [None, None]
        self.pulse = Pulse(self.busy, [0.005, usual], timeout, restarted, lambda: self.at)

    def begins(self, place: int = 1) -> None:
        self.busy[place] = self.at

    def told(self, second: float) -> tuple[bool, bool, bool]:
        """Overdue, given up and reported, so many seconds after the beginning."""
        self.at = 100.0 + second
        self.pulse.tick()
        return bool(self.pulse.overdue()), self.pulse.lost(), bool(self.pulse.trouble())


def test_who_waits_for_requests_is_well() -> None:
    assert Replica().told(10_000) == (False, False, False)


@pytest.mark.parametrize("place", [0, 1])
def test_a_quick_prediction_is_overdue_in_seconds_and_lost_when_nobody_waits_for_it(place) -> None:
    replica = Replica()
    replica.begins(place)
    assert replica.told(4.9) == (False, False, False)
    assert replica.told(5.1) == (True, False, True)
    assert replica.told(34.9) == (True, False, True)
    assert replica.told(35.1) == (True, True, True)
    replica.busy[place] = None
    assert replica.told(36) == (False, False, False)


def test_a_prediction_that_usually_takes_long_may_take_long() -> None:
    replica = Replica(usual=1.0)
    replica.begins()
    assert replica.told(19) == (False, False, False)
    assert replica.told(21) == (True, False, True)
    large = Replica(usual=10.0)
    large.begins()
    assert large.told(29) == (False, False, False)
    assert large.told(31) == (True, False, True)  # nobody waits for it any more, so ask others
    assert large.told(89) == (True, False, True)
    assert large.told(91) == (True, True, True)


def test_an_event_loop_that_stands_still_is_reported() -> None:
    replica = Replica()
    replica.told(0)
    replica.at += 6
    assert replica.pulse.trouble() == "its event loop has stood still for 6 s"
    replica.pulse.tick()
    assert replica.pulse.trouble() == ""


def test_a_restart_for_it_is_told_for_half_a_minute() -> None:
    replica = Replica(restarted="it answered nobody for 6 s, stopped")
    assert replica.pulse.trouble() == "it was started again: it answered nobody for 6 s, stopped"
    assert replica.told(29) == (False, False, True)
    assert replica.told(31) == (False, False, False)
