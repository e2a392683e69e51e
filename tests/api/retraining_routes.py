"""Every route of retraining, asked once."""

from __future__ import annotations

import pytest

from live import until
from treadle.client import Client
from treadle.kernel.errors import Refused


def of_retraining(client: Client) -> None:
    plan = client.retrain_plan("toy")
    assert [(one.trigger, one.fires) for one in plan.triggers] == [("performance", False), ("ci", False)]
    assert plan.window.rows > 0
    for ask in (
        lambda: client.retrain("toy", "to see"),
        lambda: client.trigger("toy", "cork", reason="it is there", key="one").cycle,
    ):
        asked = ask()
        until(lambda: client.cycles()[-1].state != "running")
        assert client.cycle(asked.id).state == "unchanged", client.cycle(asked.id).error
    assert client.trigger("toy", "cork", key="one").cycle.id == asked.id
    with pytest.raises(Refused, match="doesn't fit the body"):
        client.trigger("toy", "beer")
    assert client.challenger("toy").why == "none was started, and [retrain.challenger] watch is off"
    assert client.start_challenger("toy", 2, "it may be better").chosen == "hand"
    assert client.stop_challenger("toy", "seen enough").challenger is None
