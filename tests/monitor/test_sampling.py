"""A share of the log: the same rows whoever sends them, exact counts, and even samples when it changes."""

from __future__ import annotations

import hashlib
import tomllib
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import msgspec
import numpy as np
import pytest

from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import InvalidInput
from treadle.kernel.workspace import Workspace
from treadle.monitor import PredictionLog
from treadle.monitor.sampling import draw, kept

START = datetime(2026, 1, 1, tzinfo=UTC)
IDS = [f"order-{i}-é" for i in range(20_000)]


def at_share(workspace: Workspace, share: float) -> PredictionLog:
    """The log of the same workspace where another share is declared."""
    path = workspace.root / "treadle.toml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("sample = ")]
    if "[monitor]" not in lines:
        lines.append("[monitor]")
    lines.insert(lines.index("[monitor]") + 1, f"sample = {share}")
    path.write_text("\n".join(lines))
    assert tomllib.loads(path.read_text())["monitor"]["sample"] == share
    return PredictionLog(Workspace.open(workspace.root, clock=ManualClock(START)))


def test_the_draw_is_what_its_definition_says_in_python_and_in_sql() -> None:
    digest = hashlib.md5(b"a").hexdigest()
    assert digest.startswith("0cc175b9c0f1b6a8")  # RFC 1321, appendix A.5
    assert draw("a") == 0x0CC175B9C0F1B6A8 / 2**64
    sql = "SELECT ('0x' || left(md5(x), 16))::UBIGINT::DOUBLE / 18446744073709551616.0 FROM t"
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT unnest(?::VARCHAR[]) AS x", [IDS[:2000]])
    assert [row[0] for row in connection.execute(sql).fetchall()] == [draw(one) for one in IDS[:2000]]


def test_draws_are_uniform_and_shares_are_nested() -> None:
    from scipy.stats import kstest

    draws = [draw(one) for one in IDS]
    assert kstest(draws, "uniform").pvalue > 0.001
    tenth, half = kept(IDS, 0.1), kept(IDS, 0.5)
    assert abs(tenth.mean() - 0.1) < 4 * (0.09 / len(IDS)) ** 0.5
    assert not (tenth & ~half).any()


def test_counts_are_exact_and_labels_find_what_is_kept(world: Any) -> None:
    world.register()
    log = at_share(world.workspace, 0.25)
    predictions, labels = world.traffic(0, 2000, days=2)
    for _ in range(2):  # a batch that is sent again counts once
        log.append("toy", predictions)
        log.append_labels("toy", labels)
    wanted = {one for one in predictions.ids if draw(one) < 0.25}
    found = log.scan(
        "toy",
        "SELECT prediction_id, label FROM log",
        since=START,
        until=START + timedelta(days=2),
        known_by=START + timedelta(days=9),
    )
    assert set(found["prediction_id"].tolist()) == wanted
    assert not np.ma.getmaskarray(found["label"]).any()
    assert (log.count("toy"), log.count_kept("toy")) == (4000, len(wanted))
    moments = np.array(predictions.at)
    noon = START + timedelta(hours=12)
    assert log.count("toy", noon) == (moments >= noon.timestamp()).sum()
    assert log.count("toy", None, noon) == (moments < noon.timestamp()).sum()


def test_of_a_batch_that_is_killed_in_between_the_volume_is_counted_when_it_comes_again(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register()
    log = at_share(world.workspace, 0.5)
    predictions, _ = world.traffic(0, 300)
    whole = log._table

    def dies(kind: str, model: str) -> Any:
        if kind == "volumes":
            raise KeyboardInterrupt
        return whole(kind, model)

    monkeypatch.setattr(log, "_table", dies)
    with pytest.raises(KeyboardInterrupt):
        log.append("toy", predictions)
    monkeypatch.undo()
    log.append("toy", predictions)
    assert log.count("toy") == 300
    assert log.count_kept("toy") == kept(predictions.ids, 0.5).sum()


def test_what_is_too_old_is_counted_no_more(world: Any) -> None:
    world.register()
    log = at_share(world.workspace, 0.5)
    predictions, _ = world.traffic(0, 200, days=3)
    log.append("toy", predictions)
    log.expire("toy", (START + timedelta(days=1)).date(), "me")
    assert log.count("toy") == sum(at >= (START + timedelta(days=1)).timestamp() for at in predictions.at)


def test_a_bad_row_refuses_the_batch_even_if_it_would_not_be_kept(world: Any) -> None:
    world.register()
    log = at_share(world.workspace, 0.5)
    predictions, _ = world.traffic(0, 50)
    left = int(np.flatnonzero(~kept(predictions.ids, 0.5))[0])
    outputs = list(predictions.outputs)
    outputs[left] = 1.5
    with pytest.raises(InvalidInput, match=f"outputs, row {left}"):
        log.append("toy", msgspec.structs.replace(predictions, outputs=outputs))
    assert log.count("toy") == 0


def test_where_the_share_changes_within_a_stretch_all_rows_count_alike(world: Any) -> None:
    """The mean hour is 12, 15 and 18 on the three days; uncorrected, the ends would outweigh."""
    world.register()
    shares, sent = (1.0, 0.1, 0.5), []
    for day, share in enumerate(shares):
        predictions, _ = world.traffic(day, 3000, drift=3.0 * day)
        at_share(world.workspace, share).append("toy", predictions)
        sent.append(predictions)
    log = PredictionLog(world.workspace)
    sql = "SELECT count(*) AS n, avg(input_hour) AS mean FROM log"
    whole = log.scan("toy", sql, since=START, until=START + timedelta(days=3))
    wanted = [
        (draw(one), hour) for batch in sent for one, hour in zip(batch.ids, batch.inputs["hour"], strict=True)
    ]
    assert whole["n"][0] == sum(drawn < 0.1 for drawn, _ in wanted)
    assert whole["mean"][0] == pytest.approx(np.mean([hour for drawn, hour in wanted if drawn < 0.1]))
    # 9,000 rows whose mean is 15 with a deviation of sqrt(9 + 6): four standard errors of 900 of them.
    assert abs(whole["mean"][0] - 15) < 4 * (15 / 900) ** 0.5
    last = log.scan("toy", sql, since=START + timedelta(days=2), until=START + timedelta(days=3))
    assert last["n"][0] == kept(sent[2].ids, 0.5).sum()
    first = log.scan("toy", sql, since=START, until=START + timedelta(days=1))
    assert first["n"][0] == 3000
    assert log.count("toy") == 9000
