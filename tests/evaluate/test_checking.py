"""What is asked for is checked once, kept, and told again."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from treadle.data import ChangeRows, Datasets, Rows, Tables, WriteRows
from treadle.evaluate import CheckRequest, Checks, Evaluations
from treadle.kernel.errors import ConfigError, CorruptData, InvalidInput, NotFound
from treadle.kernel.workspace import Workspace

KNOWN = pa.array([datetime(2026, 2, 20, tzinfo=UTC)] * 400, pa.timestamp("us", "UTC"))


@pytest.fixture
def placed(workspace, write):
    """The toy project's rows where ``treadle.toml`` has them."""
    target = workspace.root / "data" / "rows.parquet"
    target.parent.mkdir()
    write(400, known_at=KNOWN).rename(target)
    return workspace


def outcomes(evaluation):
    return {(one.check, one.subject): one.outcome for one in evaluation.verdicts}


def test_without_a_word_the_rows_that_are_trained_on_are_checked(placed):
    found = Checks(placed).run(CheckRequest())
    [evaluation] = found.evaluations
    assert (found.outcome, found.kept) == ("pass", ())
    assert (evaluation.kind, evaluation.subject) == ("data", "rows")
    assert outcomes(evaluation)["min_rows", "rows"] == "pass"
    assert evaluation.basis.treadle
    assert Evaluations(placed).get(evaluation.id) == evaluation


def test_the_same_is_judged_once_and_anew_when_rows_or_checks_change(placed, configure, write):
    first = Checks(placed).run(CheckRequest())
    again = Checks(placed).run(CheckRequest())
    assert again.kept == (first.evaluations[0].id,)
    assert again.evaluations == first.evaluations
    anew = Checks(placed).run(CheckRequest(again=True))
    assert anew.kept == ()
    assert anew.evaluations[0].id != first.evaluations[0].id
    stricter = Checks(configure(data={"min_rows": 1000})).run(CheckRequest())
    assert (stricter.outcome, stricter.kept) == ("fail", ())
    write(1200).rename(placed.root / "data" / "rows.parquet")
    assert Checks(placed).run(CheckRequest()).outcome == "pass"


def test_a_file_is_held_against_another(placed, write):
    hour = [None if i % 3 == 0 else i % 24 for i in range(400)]
    write(name="today", hour=hour)
    asked = CheckRequest(
        data=str(placed.root.parent / "today.parquet"), reference="data/rows.parquet", only=("data",)
    )
    [evaluation] = Checks(placed).run(asked).evaluations
    assert evaluation.basis.reference == "data/rows.parquet"
    assert outcomes(evaluation)["null_increase", "hour"] == "fail"
    assert outcomes(evaluation)["null_increase", "carrier"] == "pass"


def test_csv_is_read_as_datasets_read_it(placed):
    table = pq.read_table(placed.root / "data" / "rows.parquet").to_pylist()
    with (placed.root / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    [evaluation] = Checks(placed).run(CheckRequest(data="rows.csv")).evaluations
    assert outcomes(evaluation)["min_rows", "rows"] == "pass"
    assert evaluation.subject == "rows.csv"


def test_a_version_is_checked_under_its_name(placed):
    version = Datasets(placed).snapshot("rows", "ada")
    [evaluation] = Checks(placed).run(CheckRequest(data="rows@v1")).evaluations
    assert (evaluation.subject, evaluation.data) == (version.ref, version.digest)


def test_the_volume_of_data_without_times_is_held_against_its_versions(placed, clock, write):
    checks = msgspec.structs.replace(
        placed.config.checks, data=msgspec.structs.replace(placed.config.checks.data, max_volume_change=0.3)
    )
    placed.config = msgspec.structs.replace(placed.config, train=None, checks=checks)
    target = placed.root / "data" / "rows.parquet"
    for day in range(35):
        write(400 + day % 3, known_at=KNOWN.take([0] * (400 + day % 3))).rename(target)
        Datasets(placed).snapshot("rows", "ada")
        clock.at += timedelta(days=1)
    write(150, known_at=KNOWN[:150]).rename(target)
    [evaluation] = Checks(placed).run(CheckRequest(data="rows")).evaluations
    assert outcomes(evaluation)["volume", "rows"] == "fail"
    [evaluation] = Checks(placed).run(CheckRequest(data="rows@v35")).evaluations
    assert outcomes(evaluation)["volume", "rows"] == "pass"
    assert any(one.check == "volume" for one in Checks(placed).plan(CheckRequest(data="rows")).planned)
    [evaluation] = Checks(placed).run(CheckRequest(data="rows@v2")).evaluations
    assert outcomes(evaluation)["volume", "rows"] == "inconclusive"


def test_a_plan_says_what_would_be_tested_and_judges_nothing(placed):
    plan = Checks(placed).plan(CheckRequest())
    assert ("min_rows", "rows") in {(one.check, one.subject) for one in plan.planned}
    assert all(one.n == 400 for one in plan.planned if one.unit == "rows")
    assert any("no model" in note.lower() for note in plan.notes)
    assert Evaluations(placed).list() == []


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        (CheckRequest(data="nothing.parquet"), NotFound, "no file 'nothing.parquet'"),
        (CheckRequest(data="rose"), NotFound, "no dataset 'rose'"),
        (CheckRequest(data="rows@v7"), NotFound, "rows"),
        (CheckRequest(data="empty"), InvalidInput, "holds no Parquet or CSV file"),
        (CheckRequest(data="broken.parquet"), CorruptData, "can't be read"),
        (CheckRequest(against="toy/1"), InvalidInput, "no model to compare"),
        (CheckRequest(only=("model",)), ConfigError, "nothing to check"),
        (CheckRequest(model="toy/3"), NotFound, "toy"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cant_be_checked_is_refused(placed, asked, error, says):
    (placed.root / "empty").mkdir()
    (placed.root / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(error, match=says):
        Checks(placed).run(asked)
    assert Evaluations(placed).list() == []


PREDICTIONS = {
    "path": "predictions.csv",
    "label": "y",
    "candidate": ["ours"],
    "production": ["theirs"],
    "key": "id",
}


@pytest.fixture
def predicted(placed):
    """Predictions of two models, of which one is a little better, in the project's folder."""
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, 3000)
    table = {
        "id": np.arange(3000),
        "y": y,
        "ours": np.clip(0.5 + 0.3 * (y - 0.5) + rng.normal(0, 0.2, 3000), 0, 1),
        "theirs": np.clip(0.5 + 0.2 * (y - 0.5) + rng.normal(0, 0.2, 3000), 0, 1),
        "carrier": rng.choice(["AA", "UA"], 3000),
        "sex": rng.choice(["f", "m"], 3000),
    }

    def write(name, *leave):
        with (placed.root / name).open("w", newline="") as file:
            writer = csv.writer(file)
            columns = [one for one in table if one not in leave]
            writer.writerow(columns)
            writer.writerows(zip(*(table[one] for one in columns), strict=True))

    write("predictions.csv")
    write("theirs.csv", "ours", "y")
    raw = msgspec.to_builtins(placed.config)
    raw["checks"]["predictions"] = PREDICTIONS
    raw["checks"]["bias"]["by"] = ["sex"]
    placed.config = msgspec.convert(raw, type(placed.config))
    return placed


def test_predictions_are_judged_wherever_they_come_from(predicted):
    found = Checks(predicted).run(CheckRequest(only=("model",)))
    [evaluation] = found.evaluations
    assert (evaluation.kind, evaluation.subject, evaluation.baseline) == (
        "model",
        "predictions.csv",
        "production",
    )
    told = outcomes(evaluation)
    assert told["no_worse", "overall"] == "pass"
    assert told["no_worse", "carrier=AA"] == "pass"
    [parity] = [outcome for (check, _), outcome in told.items() if check == "bias.demographic_parity"]
    assert parity in {"pass", "warn"}
    assert Checks(predicted).run(CheckRequest(only=("model",))).kept == (evaluation.id,)
    plan = Checks(predicted).plan(CheckRequest(only=("model",)))
    planned = {(one.check, one.subject) for one in plan.planned}
    assert ("no_worse", "overall") in planned
    assert any(check == "bias.equalised_odds" for check, _ in planned)


FAIRNESS = Path(__file__).parents[1] / "fixtures/fairness/predictions.parquet"


@pytest.mark.parametrize(
    ("task", "metric", "bias", "file", "check"),
    [
        (
            "multiclass",
            "accuracy",
            {"favourable": "long"},
            {"label": "band", "candidate": ["candidate"], "production": ["production"]},
            "bias.equalised_odds",
        ),
        (
            "regression",
            "mae",
            {"max_difference": 2.0},
            {"label": "hours", "candidate": ["hours_candidate"], "production": ["hours_production"]},
            "bias.equal_loss",
        ),
    ],
)
def test_bias_of_several_classes_and_of_numbers_is_judged_and_planned(
    placed, task, metric, bias, file, check
):
    """Trained models' predictions of Adult (see fixtures/fairness/make.py)."""
    raw = msgspec.to_builtins(placed.config)
    raw["project"]["task"] = task
    raw["checks"]["performance"] = {"metric": metric, "margin": 0.5, "resamples": 1000}
    raw["checks"]["groups"] = {}
    raw["checks"]["bias"] = bias | {"by": ["sex"]}
    classes = ["part", "full", "long"] if task == "multiclass" else []
    raw["checks"]["predictions"] = {"path": "p.parquet", "classes": classes, **file}
    placed.config = msgspec.convert(raw, type(placed.config))
    (placed.root / "p.parquet").write_bytes(FAIRNESS.read_bytes())
    [evaluation] = Checks(placed).run(CheckRequest(only=("model",))).evaluations
    told = {(one.check, one.subject): one for one in evaluation.verdicts}
    assert told["bias.demographic_parity", "sex=Female"].estimate < 0
    assert told["bias.no_worse", "sex=Female"].p_value is not None
    planned = Checks(placed).plan(CheckRequest(only=("model",))).planned
    tested = {(one.check, one.subject) for one in evaluation.verdicts if one.check.startswith("bias.")}
    assert {(one.check, one.subject) for one in planned if one.check.startswith("bias.")} <= tested
    assert (check, "sex=Female") in tested


def test_productions_predictions_may_lie_in_another_file(predicted):
    asked = CheckRequest(only=("model",), baseline="theirs.csv")
    [evaluation] = Checks(predicted).run(asked).evaluations
    assert (evaluation.baseline, outcomes(evaluation)["no_worse", "overall"]) == ("theirs.csv", "pass")


def test_predictions_that_arent_there_or_arent_declared_are_refused(predicted):
    with pytest.raises(NotFound, match=r"no predictions 'gone\.csv'"):
        Checks(predicted).run(CheckRequest(predictions="gone.csv"))
    checks = msgspec.structs.replace(predicted.config.checks, predictions=None)
    with pytest.raises(ConfigError, match="what the columns of predictions are"):
        Checks(predicted).run(CheckRequest(predictions="predictions.csv", checks=checks))


def test_random_rows_of_no_worth_fail_whole(placed, write):
    rng = np.random.default_rng(3)
    write(name="odd", late=rng.integers(0, 3, 400))
    asked = CheckRequest(data=str(placed.root.parent / "odd.parquet"))
    assert Checks(placed).run(asked).outcome == "fail"


@pytest.mark.parametrize(
    ("rows", "says", "where"),
    [
        ("0,1,0.2,0.5,AA,f\n1,0,,0.5,AA,f\n", "1 of 2 scores are missing", ", row 1"),
        ("0,1,0.2,0.5,AA,f\n1,,0.2,0.5,AA,f\n", "1 of 2 rows have no label", ", column 'y'"),
        ("0,1,low,0.5,AA,f\n", "'ours' are VARCHAR, no numbers", ""),
        ("", "there are no rows", ""),
    ],
)
def test_what_is_wrong_with_predictions_is_told_with_their_file(predicted, rows, says, where):
    file = predicted.root / "predictions.csv"
    file.write_text(file.read_text().splitlines(keepends=True)[0] + rows)
    with pytest.raises(InvalidInput, match=says) as caught:
        Checks(predicted).run(CheckRequest(only=("model",)))
    assert caught.value.where == f"{file}{where}"


def test_several_columns_a_side_are_seeds_and_let_recipes_be_compared(predicted):
    rng = np.random.default_rng(6)
    with (predicted.root / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    sides = {"ours": [f"ours_{i}" for i in range(5)], "theirs": [f"theirs_{i}" for i in range(5)]}
    for row in rows:
        for side, names in sides.items():
            row |= {name: min(max(float(row[side]) + rng.normal(0, 0.02), 0), 1) for name in names}
    with (predicted.root / "seeds.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    raw = msgspec.to_builtins(predicted.config)
    raw["checks"]["predictions"] = {
        **PREDICTIONS, "path": "seeds.csv", "candidate": sides["ours"], "production": sides["theirs"]
    }  # fmt: skip
    raw["checks"]["performance"]["recipe"] = True
    predicted.config = msgspec.convert(raw, type(predicted.config))
    [evaluation] = Checks(predicted).run(CheckRequest(only=("model",))).evaluations
    assert outcomes(evaluation)["recipe", "recipe"] == "pass"
    [whole] = [v for v in evaluation.verdicts if (v.check, v.subject) == ("no_worse", "overall")]
    assert "standard deviation of 5 replicas" in whole.sentence
    assert evaluation.noise is not None


def test_keys_that_one_side_lacks_leave_doubt(predicted):
    with (predicted.root / "theirs.csv").open() as file:
        lines = file.readlines()
    (predicted.root / "theirs.csv").write_text("".join(lines[:-100]))
    asked = CheckRequest(only=("model",), baseline="theirs.csv")
    found = Checks(predicted).run(asked)
    assert found.outcome == "inconclusive"
    assert outcomes(found.evaluations[0])["pairing", "rows"] == "inconclusive"


def test_a_project_that_trains_nothing_checks_the_rows_that_are_named(tmp_path, write):
    (tmp_path / "treadle.toml").write_text(
        '[project]\nname = "toy"\n[checks.data]\nmin_rows = 10\n'
        'unique = ["id"]\nranges = { hour = [0, 20] }\n'
    )
    write(400)
    workspace = Workspace.open(tmp_path)
    [evaluation] = Checks(workspace).run(CheckRequest(data="rows.parquet")).evaluations
    found = outcomes(evaluation)
    assert (found["unique", "id"], found["ranges", "hour"]) == ("pass", "fail")
    with pytest.raises(ConfigError, match="nothing to check"):
        Checks(workspace).run(CheckRequest())
    workspace.close()


def test_of_a_table_the_rows_that_are_there_now_are_checked(tmp_path):
    """Not those that lie in its folder and were deleted."""
    (tmp_path / "treadle.toml").write_text(
        '[project]\nname = "toy"\n[data.sales]\npath = "lake/sales"\nformat = "delta"\nkey = "id"\n'
        "[checks.data]\nmin_rows = 10\nranges = { id = [0, 89] }\n"
    )
    pq.write_table(pa.table({"id": range(100)}), tmp_path / "new.parquet")
    workspace = Workspace.open(tmp_path)
    tables = Tables(workspace)
    tables.create("sales", WriteRows(rows=Rows(path="new.parquet")))
    tables.change("sales", ChangeRows(where="id >= 90"))
    for data, outcome in (("sales", "pass"), ("sales@delta:0", "fail"), ("sales@delta:1", "pass")):
        [evaluation] = Checks(workspace).run(CheckRequest(data=data)).evaluations
        assert outcomes(evaluation)["ranges", "id"] == outcome
    with pytest.raises(InvalidInput, match="'lake/sales' is a Delta table"):
        Checks(workspace).run(CheckRequest(data="lake/sales"))
    workspace.close()


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")  # Spark warns of what it does itself
def test_spark_checks_what_is_named_where_the_project_says_so(placed, configure, write, monkeypatch):
    """Of a version, a file and a folder, as CSV and as Parquet, Spark's verdicts are DuckDB's."""
    sql = pytest.importorskip("pyspark.sql", reason="Spark isn't installed: pip install 'treadle[spark]'")
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    session = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    session.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    given = {"unique": ["id"], "values": {"carrier": ["AA", "UA"]}, "max_volume_change": 0.5, "drift": True}
    source = write(300, name="other", known_at=KNOWN.slice(0, 300), carrier=["AA", "UA", "B6"] * 100)
    (placed.root / "parts").mkdir()
    pa.csv.write_csv(pq.read_table(source), placed.root / "parts" / "a.csv")
    version = Datasets(placed).snapshot("rows", "ada")
    for data in (version.ref, "rows", str(source), "parts"):
        asked = CheckRequest(data=data, reference="rows", only=("data",), again=True)
        found = {}
        for engine in ("duckdb", "spark"):
            [evaluation] = Checks(configure(data={**given, "engine": engine})).run(asked).evaluations
            found[engine] = [(one.check, one.outcome, one.sentence) for one in evaluation.verdicts]
        assert found["spark"] == found["duckdb"], data
        assert {"pass", "fail"} <= {outcome for _, outcome, _ in found["spark"]}
    assert session.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"
    session.stop()
