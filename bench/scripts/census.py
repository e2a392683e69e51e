"""Four years of census rows through the log, the monitors that Treadle suggests, and incidents.

Usage: ``census.py FOLDER [recoded]``, with NannyML's data: ``employment_MA_*.pq`` (American Community Survey,
Massachusetts, 2015 to 2018; a model's probability that somebody is employed, and whether it is so).

The survey says in which year somebody was asked, no more, and the file has household after household, those
in institutions last: a day gets every 364th row of a year, and the next row comes 53 days later, so that
rows of a window are of different households. One half of 2015 is what the model is held against; the
other half and three years are its traffic, labels a week later. The monitors are those that ``treadle monitor
suggest`` writes after four weeks. From 2017 on the survey writes 95 for the oldest, where it was 94 before;
with ``recoded`` it is 94 for all. Prints them, the windows by kind and state, and every incident.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np

from treadle.data import Datasets
from treadle.data.types import DataInput, SliceSpec
from treadle.evaluate import Measure, estimate
from treadle.kernel.clock import ManualClock
from treadle.kernel.workspace import Workspace
from treadle.monitor import (
    Incidents,
    LabelBatch,
    Monitors,
    PredictionBatch,
    PredictionLog,
    build_profile,
    profile_segments,
    with_estimates,
)
from treadle.registry import Field, ModelFile, NewVersion, Registry, Signature

DAYS, YEARS = 364, (2015, 2016, 2017, 2018)
LABELS_AFTER = timedelta(days=7)
NUMBERS = ("AGEP",)
PROJECT = """[project]
name = "employment"
[data.rows]
path = "train.parquet"
time = "at"
label = "employed"
label_time = "at"
[train]
command = "true"
data = "rows"
features = {names}
[registry]
require = []
"""
Rows = dict[str, Any]


def read(folder: Path) -> tuple[list[str], Rows]:
    """The features' names, and all rows in the file's order with the day of each."""
    reference, analysis, labels = (
        f"read_parquet('{folder}/employment_MA_{part}.pq')"
        for part in ("reference", "analysis", "analysis_target")
    )
    later = f"SELECT a.*, t.employed FROM {analysis} a JOIN {labels} t USING (id)"
    every = f"SELECT * FROM {reference} UNION ALL BY NAME {later}"
    known = duckdb.sql(f"SELECT * FROM ({every}) LIMIT 0").columns
    names = [one for one in known if one.isupper()]
    typed = [f"{one}::{'DOUBLE' if one in NUMBERS else 'VARCHAR'} AS {one}" for one in names]
    found = duckdb.sql(
        f"SELECT {', '.join(typed)}, employed::DOUBLE AS employed, predicted_probability AS score, year, "
        f"row_number() OVER (PARTITION BY year ORDER BY id) - 1 AS place FROM ({every}) ORDER BY id"
    ).fetchnumpy()
    starts = {year: datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in YEARS}
    place = np.asarray(found["place"])
    within = np.random.default_rng(1).random(len(place))
    found["at"] = np.array([starts[year] for year in found["year"]]) + (place * 53 % DAYS + within) * 86_400
    found["half"] = (found["year"] == YEARS[0]) & (place // DAYS % 2 == 0)
    return names, {name: np.asarray(values) for name, values in found.items()}


def taken(rows: Rows, which: Any) -> Rows:
    """Some rows, by time."""
    order = np.flatnonzero(which)
    order = order[np.argsort(rows["at"][order], kind="stable")]
    return {name: values[order] for name, values in rows.items()}


def opened(root: Path, names: list[str], held: Rows, monitors: str) -> Workspace:
    """A project with the monitors, whose model's first version is in production."""
    (root / "treadle.toml").write_text(PROJECT.format(names=json.dumps(names)) + monitors, encoding="utf-8")
    began = datetime(YEARS[0], 1, 1, tzinfo=UTC) - timedelta(days=1)
    workspace = Workspace.open(root, clock=ManualClock(began))
    engine, train = workspace.engine, root / "train.parquet"
    columns = {name: held[name] for name in [*names, "employed"]}
    earlier = began.timestamp() - 86_400 + np.arange(len(held["score"])) / 10
    engine.write_parquet(
        train, "SELECT * EXCLUDE (s), to_timestamp(s) AS at FROM t", (), {"t": columns | {"s": earlier}}
    )
    snapshot = Datasets(workspace).snapshot("rows", "bench")
    value = estimate("roc_auc", held["employed"], held["score"]).value
    profile = build_profile(engine, train, names, held["score"], "roc_auc", value)
    profile = profile_segments(engine, train, profile, workspace.config.monitor.segments)
    inputs = {name: held[name] for name in names}
    profile = with_estimates(profile, Measure("roc_auc"), inputs, held["employed"], held["score"])
    blobs, registry = workspace.blobs, Registry(workspace)
    fields = tuple(Field(name, "float" if name in NUMBERS else "string") for name in names)
    spec = SliceSpec(dataset="rows", version=snapshot.digest)
    version = registry.register(
        NewVersion(
            model="employment",
            run="run_1",
            recipe="r" * 64,
            code="c" * 64,
            environment="e" * 64,
            seed=0,
            data=(DataInput(role="train", spec=spec, number=1, digest=snapshot.digest, rows=len(earlier)),),
            params={},
            metrics={"roc_auc": value},
            signature=Signature(fields, "probability"),
            files=(ModelFile("model.onnx", blobs.put(b"NannyML's own"), 13),),  # nothing is asked of it
            evaluations=("eval_1",),
            profile=blobs.put(msgspec.json.encode(profile)),
            serve={},
        )
    )
    registry.promote(
        "employment", version.number, actor="bench", reason="bench", key="promote", outcome="pass"
    )
    return workspace


def send(workspace: Workspace, names: list[str], rows: Rows, until: datetime) -> None:
    """Logs the traffic up to a moment, and its labels."""
    log, many = PredictionLog(workspace), int((rows["at"] < until.timestamp()).sum())
    for start in range(0, many, 50_000):
        part = slice(start, min(start + 50_000, many))
        at = rows["at"][part]
        ids = [f"p{number}" for number in range(part.start, part.stop)]
        log.append(
            "employment",
            PredictionBatch(
                batch=f"p{start}",
                ids=ids,
                at=at.tolist(),
                version=[1] * len(at),
                revision=[1] * len(at),
                inputs={name: rows[name][part].tolist() for name in names},
                outputs=rows["score"][part].tolist(),
                latency_ms=[1.0] * len(at),
            ),
        )
        known = (at + LABELS_AFTER.total_seconds()).tolist()
        labels = rows["employed"][part].tolist()
        log.append_labels("employment", LabelBatch(batch=f"l{start}", ids=ids, values=labels, known_at=known))


def main(folder: Path, recoded: bool) -> None:
    """Prints what came of it."""
    names, rows = read(folder)
    if recoded:
        rows["AGEP"] = np.minimum(rows["AGEP"], 94.0)
    held, traffic = taken(rows, rows["half"]), taken(rows, ~rows["half"])
    with tempfile.TemporaryDirectory() as made:
        workspace, first = opened(Path(made), names, held, ""), datetime(YEARS[0], 1, 29, tzinfo=UTC)
        send(workspace, names, traffic, first)
        workspace.clock.at = first  # type: ignore[attr-defined]
        suggested = Monitors(workspace).suggest("employment").toml
        workspace.close()
    print(suggested)
    with tempfile.TemporaryDirectory() as made:
        workspace = opened(Path(made), names, held, suggested)
        end = datetime(YEARS[-1] + 1, 1, 1, tzinfo=UTC)
        send(workspace, names, traffic, end)
        found = Monitors(workspace).evaluate("employment", end)
        print(f"{len(traffic['at']):,} predictions, {len({one.until for one in found})} windows")
        for (kind, state), many in sorted(Counter((one.kind, one.state) for one in found).items()):
            print(f"{kind:14} {state:14} {many:6,}")
        last = {one.kind: one.sentence for one in found if one.state == "inconclusive"}
        for kind, sentence in last.items():
            print(f"inconclusive, for example: {kind}: {sentence}")
        for alert in Monitors(workspace).alerts("employment"):
            print(f"alert {alert.at:%Y-%m-%d} {alert.kind} {', '.join(alert.subjects)}: {alert.sentence}")
        incidents = Incidents(workspace)
        for one in incidents.list("employment"):
            print(f"incident {one.id} {one.severity} {one.state} {one.opened_at:%Y-%m-%d}: {one.title}")
            for cause in incidents.show(one.id).causes[:5]:
                print(f"    {cause.kind} {cause.subject} {cause.segment}: {cause.sentence}")
        workspace.close()


main(Path(sys.argv[1]), "recoded" in sys.argv[2:])
