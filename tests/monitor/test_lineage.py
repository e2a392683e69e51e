"""The windows of a version's predictions, as its lineage names them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from treadle.kernel.workspace import Workspace
from treadle.monitor import WindowLineage, WindowResult, store
from treadle.registry import LineageStep

START = datetime(2026, 3, 1, tzinfo=UTC)


def test_each_window_is_told_once_the_latest_first(workspace: Workspace) -> None:
    day = timedelta(days=1)
    found = [
        WindowResult(
            model="pets", kind="input", subject=subject, since=START + n * day, until=START + (n + 1) * day,
            version=1 + (n == 2), state=state, statistic="psi", value=0.1, n=50, sentence="It moved.",
        )
        for n in range(3)
        for subject, state in (("age", "ok"), ("size", "alert" if n else "inconclusive"))
    ]  # fmt: skip
    with workspace.database.write() as connection:
        store.add_windows(connection, found)
    told = list(WindowLineage(workspace).used_by(LineageStep(kind="model", id="pets/1", of="")))
    assert [(one.id, one.detail, one.at) for one in told] == [
        ("pets 2026-03-02 00:00 to 2026-03-03 00:00", "2 figures, 1 over its limit", START + 2 * day),
        ("pets 2026-03-01 00:00 to 2026-03-02 00:00", "2 figures", START + day),
    ]
    assert {(one.kind, one.of) for one in told} == {("window", "pets/1")}
    assert list(WindowLineage(workspace).used_by(LineageStep(kind="run", id="pets/1", of=""))) == []
