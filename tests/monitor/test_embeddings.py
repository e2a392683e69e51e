"""Embeddings: logged beside inputs or made of them, held against a file of training or the weeks before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import InvalidInput
from treadle.kernel.workspace import Workspace
from treadle.monitor import Drops, Monitors, PredictionBatch, PredictionLog, WindowResult

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
SIZE = 24
WEIGHTS = np.random.default_rng(1).normal(size=(4, SIZE))


def vectors(rng: np.random.Generator, n: int, moved: float = 0.0) -> list[list[float] | None]:
    """Vectors as encoders make them: a few directions, and some noise; ``moved`` along one of them."""
    hidden = rng.normal(size=(n, 4))
    hidden[:, 0] += moved
    made: list[list[float] | None] = (hidden @ WEIGHTS + 0.2 * rng.normal(size=(n, SIZE))).tolist()
    return made


class Here:
    def __init__(self, world: Any, project: Path, lines: str) -> None:
        config = project / "treadle.toml"
        config.write_text(config.read_text() + f"\n[monitor]\n{lines}\n")
        self.workspace = Workspace.open(project, clock=ManualClock(START - timedelta(days=1)))
        self.world = type(world)(self.workspace)
        self.world.register()
        self.log = PredictionLog(self.workspace)
        self.rng = np.random.default_rng(3)

    def week(self, number: int, moved: float = 0.0, *, there: bool = True, drift: float = 0.0) -> None:
        predictions, _ = self.world.traffic(7 * number, 60, days=7, drift=drift)
        made = {"text": vectors(self.rng, 420, moved)} if there else {}
        self.log.append("toy", msgspec.structs.replace(predictions, embeddings=made))

    def found(self, weeks: int, subject: str = "text") -> list[WindowResult]:
        results = Monitors(self.workspace).evaluate("toy", START + weeks * WEEK)
        return [one for one in results if one.subject == subject]


TEXT = f'[monitor.embeddings.text]\nsize = {SIZE}\nreference = "train.parquet"\nsample = 400'


@pytest.fixture
def here(world: Any, project: Path) -> Iterator[Here]:
    made = Here(world, project, TEXT)
    rows = np.array(vectors(made.rng, 1500), dtype=np.float64)
    chosen = ", ".join(f"c{i}" for i in range(SIZE))
    made.workspace.engine.write_parquet(
        project / "train.parquet",
        f"SELECT [{chosen}]::FLOAT[{SIZE}] AS text FROM t",
        (),
        {"t": {f"c{i}": rows[:, i].copy() for i in range(SIZE)}},
    )
    yield made
    made.workspace.close()


def test_logged_vectors_are_held_against_those_of_training(here: Here) -> None:
    here.week(0)
    here.week(1, moved=1.5)
    here.week(2, there=False)
    same, other, none = here.found(3)
    assert (same.kind, same.state, same.statistic, same.n) == ("multivariate", "ok", "mmd", 400)
    assert same.sentence.endswith("under 0.1, in 400 vectors beside 400 of training")
    assert other.state == "alert"
    assert other.value is not None
    assert other.chance is not None
    assert other.value > max(0.1, other.chance)
    assert (none.state, none.n) == ("inconclusive", 0)
    assert none.sentence == "text: 0 vectors beside 400 of training are too few to tell (200 needed)"
    [alert] = [one for one in Monitors(here.workspace).alerts("toy") if one.kind == "multivariate"]
    assert alert.subjects == ("text",)
    assert Monitors(here.workspace).backfill("toy", START, "me").changed == ()
    (here.workspace.root / "train.parquet").unlink()
    here.week(3)
    missing = "text: there are no vectors of training in a column 'text' of train.parquet to hold it against"
    assert here.found(4)[0].sentence == missing


def test_vectors_of_training_that_cannot_be_used_are_left_out(here: Here) -> None:
    engine, path = here.workspace.engine, here.workspace.root / "train.parquet"
    here.week(0)
    here.week(1)
    engine.write_parquet(path, "SELECT [0.5::FLOAT] AS other")
    assert "in a column 'text' of train.parquet" in here.found(1)[0].sentence
    numbers = ", ".join(["random()"] * (SIZE - 1))
    engine.write_parquet(
        path,
        f"SELECT CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN [0.5] WHEN 2 THEN [{numbers}, NULL] "
        f"WHEN 3 THEN [{numbers}, 'nan'::DOUBLE] ELSE [{numbers}, 0.0] END AS text FROM range(1250) t(i)",
    )
    assert "400 vectors beside 250 of training" in here.found(2)[0].sentence


def test_a_classifier_may_tell_them_apart_instead(world: Any, project: Path) -> None:
    made = Here(world, project, f'reference = "season"\nseason_weeks = 1\n{TEXT}\nstatistic = "auc"'.replace(
        'reference = "train.parquet"\n', ""))  # fmt: skip
    for number, moved in enumerate((0.0, 0.0, 1.5)):
        made.week(number, moved)
    first, same, other = made.found(3)
    assert first.sentence.startswith("text: there are no vectors of training")
    assert (same.state, same.statistic, other.state) == ("ok", "auc", "alert")
    assert "beside 400 of the weeks before" in other.sentence
    made.workspace.close()


def test_inputs_that_make_a_vector_are_watched_as_one(world: Any, project: Path) -> None:
    lines = 'reference = "season"\nseason_weeks = 1\n[monitor.embeddings.clock]\ninputs = "ho"'
    made = Here(world, project, lines)
    for number, drift in enumerate((0.0, 0.0, 4.0)):
        made.week(number, there=False, drift=drift)
    results = Monitors(made.workspace).evaluate("toy", START + 3 * WEEK)
    assert [one.state for one in results if one.subject == "clock"] == ["inconclusive", "ok", "alert"]
    assert "hour" not in {one.subject for one in results if one.kind in {"input", "quality"}}
    made.workspace.close()


def some(here: Here, **changes: Any) -> PredictionBatch:
    predictions, _ = here.world.traffic(0, 3)
    return msgspec.structs.replace(predictions, **changes)


def test_vectors_are_read_back_and_bad_ones_refuse_the_batch(here: Here) -> None:
    one = [0.5] * SIZE
    here.log.append("toy", some(here))  # before the table knows any
    here.log.append("toy", some(here, embeddings={"text": [one, None, [-0.25] * SIZE]}))
    found = here.log.scan(
        "toy",
        "SELECT embedding_text AS v FROM log WHERE len(v) > 0 ORDER BY v[1]",
        since=START,
        until=START + WEEK,
    )
    assert [row.tolist() for row in found["v"]] == [[-0.25] * SIZE, one]
    bad: list[tuple[dict[str, Any], str]] = [
        ({"texts": [one] * 3}, "embeddings.texts: no such embedding is declared"),
        ({"text": [one] * 2}, "embeddings.text: there are 3 ids and 2 of these"),
        ({"text": [one, one, [1.0]]}, "embeddings.text, row 2: the vector has 1 numbers; 24 are declared"),
        ({"text": [None, one, [float("nan")] * SIZE]}, "embeddings.text, row 2: a value is not finite"),
        ({"text": [None, one, [1e39] * SIZE]}, "embeddings.text, row 2: a value is not finite"),
    ]
    for embeddings, message in bad:
        with pytest.raises(InvalidInput, match=message):
            here.log.append("toy", some(here, embeddings=embeddings))
    assert here.log.count("toy") == 6


def test_vectors_come_as_lists_of_a_fixed_size_in_files(world: Any, project: Path) -> None:
    made = Here(world, project, f'drop = "in"\n{TEXT}')
    path = project / "in" / "predictions" / "toy" / "a.parquet"
    path.parent.mkdir(parents=True)
    sql = f"""
        SELECT 'p' || i AS prediction_id, TIMESTAMP '2026-01-01 06:00:00' AS "at", 1 AS version,
        0.5 AS output, 1.0 AS input_hour, 'AA' AS input_carrier,
        CASE WHEN i < 2 THEN [{", ".join(["i + 0.5"] * SIZE)}]::DOUBLE[{SIZE}] END AS embedding_text
        FROM range(3) t(i)"""
    made.workspace.engine.write_parquet(path, sql)
    short = sql.replace(f"[{', '.join(['i + 0.5'] * SIZE)}]::DOUBLE[{SIZE}]", "[1.0, 2.0]::FLOAT[]")
    made.workspace.engine.write_parquet(path.with_name("b.parquet"), short)
    gap = sql.replace("i + 0.5", "CASE WHEN i > 0 THEN i + 0.5 END", 1)
    made.workspace.engine.write_parquet(path.with_name("c.parquet"), gap)
    good, bad, worse = Drops(made.workspace).take("toy")
    assert worse.reason == "embedding_text, row 0: a value is not finite"
    assert (good.state, good.rows) == ("taken", 3)
    assert bad.reason == f"embedding_text, row 0: the vector has 2 numbers; {SIZE} are declared"
    sql = "SELECT embedding_text AS v FROM log WHERE len(v) > 0 ORDER BY v[1]"
    found = made.log.scan("toy", sql, since=START, until=START + WEEK)
    assert [row[0] for row in found["v"]] == [0.5, 1.5]
    made.workspace.close()
