"""Days of predictions in a log, and what the window of the last of them costs.

Usage: window.py make FOLDER ROWS COLUMNS SEGMENTS MODELS DAYS | window.py look FOLDER DAYS
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import numpy as np

from treadle.data.types import DataInput, SliceSpec
from treadle.evaluate import Measure
from treadle.kernel.clock import ManualClock
from treadle.kernel.workspace import Workspace
from treadle.monitor import Monitors, build_profile, profile_segments, with_estimates
from treadle.registry import Field, ModelFile, NewVersion, Registry, Signature

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HELD, CHUNK, DISTINCT = 20_000, 1_000_000, 10_007


def main() -> None:
    """Does what the first argument says."""
    what, folder, *rest = sys.argv[1:]
    if what == "make":
        _make(Path(folder), *map(int, rest))
    else:
        _look(Path(folder), int(rest[0]))


def _make(folder: Path, rows: int, columns: int, segments: int, models: int, days: int) -> None:
    """A project with models, one of whose inputs has so many watched values, and days of their log."""
    values = ", ".join(f'"s{i}"' for i in range(segments))
    declared = f"[monitor.segments.c0]\nvalues = [{values}]\n" if segments else ""
    names = _names(columns)
    (folder / "treadle.toml").write_text(
        '[project]\nname = "m0"\n[data.rows]\npath = "train.parquet"\ntime = "at"\nlabel = "y"\n'
        'label_time = "known_at"\n'
        f'[train]\ncommand = "true"\ndata = "rows"\nfeatures = {json.dumps(names)}\n'
        f'[monitor]\nevery = "1d"\nperformance_window = "{days}d"\n{declared}',
        encoding="utf-8",
    )
    workspace = Workspace.open(folder, clock=ManualClock(START - DAY))
    engine, train = workspace.engine, folder / "train.parquet"
    engine.write_parquet(train, _inputs_sql(columns, segments, HELD, 1))
    held = engine.columns(_inputs_sql(columns, segments, HELD, 2))
    rng = np.random.default_rng(1)
    scores = rng.beta(2, 3, HELD)
    labels = (rng.random(HELD) < scores).astype(float)
    profile = build_profile(engine, train, names, scores, "roc_auc", 0.7)
    profile = profile_segments(engine, train, profile, workspace.config.monitor.segments)
    profile = with_estimates(
        profile, Measure("roc_auc"), {name: held[name] for name in names}, labels, scores
    )
    for number in range(models):
        _register(workspace, f"m{number}", names, msgspec.json.encode(profile))
    tables = folder / ".treadle" / "tables"
    for day in range(days):
        _log(tables, rows, columns, segments, day)
    for number in range(1, models):
        for kind in ("predictions", "labels"):
            shutil.copytree(tables / kind / "m0", tables / kind / f"m{number}")


def _names(columns: int) -> list[str]:
    texts = max(columns // 5, 1)
    return [f"c{i}" for i in range(texts)] + [f"x{i}" for i in range(columns - texts)]


def _inputs_sql(columns: int, segments: int, rows: int, seed: int) -> str:
    """Inputs by a hash of row and column: the same every time, and none depends on another."""
    sql = []
    for place, name in enumerate(_names(columns)):
        u = f"(hash(i, {place}, {seed}) % {DISTINCT} / {DISTINCT}.0)"
        many = max(segments, 10) if name == "c0" else 20
        made = f"'s' || floor({u} * {many})::INT" if name[0] == "c" else f"ln({u} + 1e-6)"
        sql.append(f"{made} AS {name}")
    return f"SELECT {', '.join(sql)} FROM range({rows}) AS t(i)"


def _register(workspace: Workspace, model: str, names: list[str], profile: bytes) -> None:
    blobs, registry = workspace.blobs, Registry(workspace)
    fields = tuple(Field(name, "string" if name[0] == "c" else "float") for name in names)
    spec = SliceSpec(dataset="rows", version="d" * 64)
    files = ("model.onnx", "signature.json", "example.json")
    version = registry.register(
        NewVersion(
            model=model,
            run=f"run_{model}",
            recipe="r" * 64,
            code="c" * 64,
            environment="e" * 64,
            seed=0,
            data=(DataInput(role="train", spec=spec, number=1, digest="e" * 64, rows=9),),
            params={},
            metrics={"roc_auc": 0.7},
            signature=Signature(fields, "probability"),
            files=tuple(ModelFile(name, blobs.put(name.encode()), len(name)) for name in files),
            evaluations=("eval_1",),
            profile=blobs.put(profile),
            serve={"port": "8100"},
        )
    )
    registry.promote(model, version.number, actor="bench", reason="bench", key=f"{model}:1", outcome="pass")


def _log(tables: Path, rows: int, columns: int, segments: int, day: int) -> None:
    """A day's predictions and their labels, as the server's log has them."""
    from deltalake import write_deltalake

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    date = f"DATE '{START + day * DAY:%Y-%m-%d}'"
    first, noon = day * rows, f"TIMESTAMPTZ '{START + day * DAY:%Y-%m-%d} 12:00:00+00'"
    for start in range(first, first + rows, CHUNK):
        many = min(CHUNK, first + rows - start)
        inputs = _inputs_sql(columns, segments, many, 3 + start).removeprefix("SELECT ")
        seconds = f"(i + {start - first}) * 86399.0 / {rows}"
        moment = f"TIMESTAMPTZ '{START + day * DAY:%Y-%m-%d} 00:00:00+00' + INTERVAL ({seconds}) SECOND"
        named = ", ".join(f"{name} AS input_{name}" for name in _names(columns))
        predictions = connection.sql(
            f"SELECT 'p' || (i + {start}) AS prediction_id, {moment} AS \"at\", 1::BIGINT AS version, "
            f"1::BIGINT AS revision, 1.5::DOUBLE AS latency_ms, {_score(start)} AS output, "
            f"{moment} AS recorded_at, {named}, {date} AS day FROM (SELECT i, {inputs})"
        ).to_arrow_table()
        labels = connection.sql(
            f"SELECT 'p' || (i + {start}) AS prediction_id, "
            f"(hash(i, 'label') % {DISTINCT} / {DISTINCT}.0 < {_score(start)})::DOUBLE AS value, "
            f"{noon} AS known_at, {noon} AS recorded_at, {date} AS day FROM range({many}) AS t(i)"
        ).to_arrow_table()
        for kind, found in (("predictions", predictions), ("labels", labels)):
            write_deltalake(str(tables / kind / "m0"), found, mode="append", partition_by=["day"])


def _score(start: int) -> str:
    return f"(hash(i, 'score', {start}) % {DISTINCT} / {DISTINCT}.0)"


def _look(folder: Path, days: int) -> None:
    """Computes the last window of each model, and says what it cost."""
    last = START + days * DAY
    workspace = Workspace.open(folder, clock=ManualClock(last))
    monitors, models = Monitors(workspace), sorted(Registry(workspace).models())
    for model in models:
        monitors.evaluate(model, last - DAY)  # nothing, if there is but one
    before, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for model in models:
        if not monitors.evaluate(model, last):
            monitors.backfill(model, last - DAY, "bench")  # again, from what is logged
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    states = Counter(one.state for model in models for one in monitors.windows(model, last - DAY))
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": after.ru_maxrss / 1024, "states": states}))


if __name__ == "__main__":
    main()
