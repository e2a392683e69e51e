"""``treadle monitor``: past windows again, and files for the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cli_parts import Asked, Call, Wire
from cli_samples import NOON, WINDOWS

from treadle.monitor import ChannelTest, Delivery, Incident, Unpaired
from treadle.monitor.incidents.types import Notice, Occasion
from treadle.monitor.types import Backfill, DroppedFile, Hindsight

AGAIN = Backfill(model="flights", windows=2, changed=(WINDOWS[-1],))


def test_windows_that_are_computed_again_are_told_with_what_changed(call: Call, wire: Wire) -> None:
    wire.answers["POST /v1/monitors/flights/backfill"] = AGAIN
    out = call("monitor", "backfill", "flights", "--since", "2026-01-01").out
    assert "2 windows computed again: 1 finding came out otherwise" in out
    assert "roc_auc is at 0.65" in out
    sent = wire.made("POST /v1/monitors/flights/backfill")[0].query
    assert sent["since"] == "2026-01-01T00:00:00+00:00"
    found = call("monitor", "backfill", "flights", "--since", "2026-01-01", "--json")
    assert found.json(Backfill) == AGAIN


def test_a_backfill_asks_for_some_at_a_time(call: Call, wire: Wire) -> None:
    ends = [datetime(2026, 1, day, tzinfo=UTC) for day in (8, 15, 22)]
    first = msgspec.structs.replace(AGAIN, windows=1, last=ends[0], left=2, changed=())
    rest = msgspec.structs.replace(AGAIN, windows=2, last=ends[2])
    wire.answers["POST /v1/monitors/flights/backfill"] = lambda asked: (
        rest if "after" in asked.query else first
    )
    out = call("monitor", "backfill", "flights", "--since", "2026-01-01").out
    assert "3 windows computed again: 1 finding came out otherwise" in out
    asked = [one.query for one in wire.made("POST /v1/monitors/flights/backfill")]
    assert [one.get("after") for one in asked] == [None, "2026-01-08T00:00:00+00:00"]
    assert [int(one["most"]) for one in asked] == [1, 2], "more at a time while that is quick"
    assert {one["since"] for one in asked} == {"2026-01-01T00:00:00+00:00"}


@pytest.mark.parametrize(
    ("done", "told"),
    [
        (0, "the same command begins anew"),
        (1, "treadle monitor backfill flights --since 2026-01-08T00:00:00"),
    ],
)
def test_who_interrupts_a_backfill_hears_how_to_go_on(done: int, told: str, call: Call, wire: Wire) -> None:
    last = datetime(2026, 1, 8, tzinfo=UTC)

    def interrupted(_: Asked) -> Backfill:
        if len(wire.made("POST /v1/monitors/flights/backfill")) > done:
            raise KeyboardInterrupt
        return msgspec.structs.replace(AGAIN, windows=1, last=last, left=2)

    wire.answers["POST /v1/monitors/flights/backfill"] = interrupted
    found = call("monitor", "backfill", "flights", "--since", "2026-01-01")
    assert (found.code, told in found.err) == (130, True)
    assert ("1 of 3 windows" in found.err) == bool(done)


def test_dropped_files_are_told_one_by_one_where_they_were_not_taken(call: Call, wire: Wire) -> None:
    found = [
        DroppedFile(file="predictions/flights/a.parquet", kind="predictions", state="taken", rows=1200),
        DroppedFile(
            file="labels/flights/b.parquet", kind="labels", state="refused", rows=0, reason="too bad"
        ),
    ]
    wire.answers["POST /v1/monitors/flights/ingest"] = found
    since = datetime(2026, 3, 1, tzinfo=UTC)
    wire.answers["GET /v1/predictions/flights/events"] = Unpaired(requests=3, responses=1, since=since)
    out = call("monitor", "ingest", "flights").out
    assert "3 requests and 1 response of other servers without the other side, since 2026-03-01" in out
    assert "1 file taken, 1,200 rows" in out
    assert "labels/flights/b.parquet: too bad" in out
    assert "a.parquet" not in out
    assert call("monitor", "ingest", "flights", "--json").json(list[DroppedFile]) == found


def test_a_past_window_is_told_as_it_was_known_at_a_moment(call: Call, wire: Wire) -> None:
    window = next(one for one in WINDOWS if one.kind == "performance")
    known = msgspec.structs.replace(window, value=0.7123, n=1234)
    found = [
        Hindsight(then=window, now=known, as_of=known.until, came=7, corrected=3),
        Hindsight(then=None, now=known, as_of=known.until, came=0, corrected=0),
    ]
    wire.answers["GET /v1/monitors/flights/performance"] = found
    out = call("monitor", "performance", "flights", "--as-of", "2026-03-01 12:00").out
    assert "0.7123" in out
    assert "1,234" in out
    assert known.sentence[:40] in out
    sent = wire.made("GET /v1/monitors/flights/performance")[0].query
    assert sent == {"as_of": "2026-03-01T12:00:00+00:00"}
    args = ("--since", "2026-01-01", "--recorded-by", "2026-02-01", "--json")
    assert call("monitor", "performance", "flights", *args).json(list[Hindsight]) == found
    assert set(wire.made("GET /v1/monitors/flights/performance")[1].query) == {"since", "recorded_by"}


def test_without_a_moment_nothing_is_computed(call: Call, wire: Wire) -> None:
    assert call("monitor", "backfill", "flights").code == 2
    assert wire.made("POST /v1/monitors/flights/backfill") == []


def test_a_test_notice_that_was_not_taken_is_a_failure(call: Call, wire: Wire) -> None:
    found = [ChannelTest(channel="slack"), ChannelTest(channel="email", error="no route to host")]
    wire.answers["POST /v1/models/flights/notices/test"] = found
    told = call("incidents", "test", "flights")
    assert (told.code, "slack" in told.out, "no route to host" in told.out) == (1, True, True)
    wire.answers["POST /v1/models/flights/notices/test"] = found[:1]
    assert call("incidents", "test", "flights", "--json").code == 0


def test_a_notice_that_waits_behind_another_says_so(call: Call, wire: Wire) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    one = Incident(
        id="flights-1", model="flights", number=1, version=1, state="open", severity="warning", title="x",
        since=at, opened_at=at, last_at=at, kinds=("input",), subjects=("hour",),
    )  # fmt: skip
    occasions: tuple[Occasion, ...] = ("opened", "worse")
    notices = [
        Notice(id=f"flights-1-{what}", occasion=what, at=at, incident=one, sentence="x") for what in occasions
    ]
    wire.answers["GET /v1/incidents/flights-1/deliveries"] = [
        Delivery(notice=notices[0], channel="email", attempts=2, next_at=at, error="it is away"),
        Delivery(notice=notices[0], channel="slack", attempts=1, next_at=at, delivered_at=at),
        Delivery(notice=notices[1], channel="email", attempts=0, next_at=at),
        Delivery(notice=notices[1], channel="slack", attempts=0, next_at=at),
    ]
    lines = call("incidents", "sent", "flights-1").out.splitlines()[1:]
    assert ["try 3 at" in lines[0], "2026-01-01" in lines[1]] == [True, True]
    assert "after the one before" in lines[2]
    assert "try 1 at" in lines[3]


def test_windows_that_are_always_too_short_are_told(call: Call, wire: Wire) -> None:
    """Each `?` looks as if the next window would do; a whole row of them asks for another `every`."""

    def few(week: int, subject: str, **more: Any) -> Any:
        until = NOON + timedelta(days=7 * week)
        made = {"kind": "input", "subject": subject, "state": "inconclusive", "value": None, **more}
        return msgspec.structs.replace(WINDOWS[0], until=until, **made)

    told = "the last 3 windows had too few rows to judge any input"
    wire.answers["GET /v1/monitors/flights/windows"] = [few(w, s) for w in range(3) for s in "ab"]
    out = call("monitor", "show", "flights").out
    assert told in " ".join(out.split())
    assert out.splitlines()[-1] == "next: treadle monitor suggest"
    one = few(1, "b", state="ok", value=0.01)
    wire.answers["GET /v1/monitors/flights/windows"] = [few(w, "a") for w in range(3)] + [
        few(0, "b"), one, few(2, "b")
    ]  # fmt: skip
    assert told not in " ".join(call("monitor", "show", "flights").out.split())
