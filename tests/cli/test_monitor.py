"""``treadle monitor``: past windows again."""

from __future__ import annotations

from cli_parts import Call, Wire
from cli_samples import WINDOWS

from treadle.monitor.types import Backfill

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


def test_without_a_moment_nothing_is_computed(call: Call, wire: Wire) -> None:
    assert call("monitor", "backfill", "flights").code == 2
    assert wire.made("POST /v1/monitors/flights/backfill") == []
