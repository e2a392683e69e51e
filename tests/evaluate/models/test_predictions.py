"""Predictions in files: what is read, what is paired, and what is refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from treadle.evaluate.models.predictions import load_predictions, pairing
from treadle.evaluate.performance import judge
from treadle.kernel.config import ChecksConfig, GroupCheck, PerformanceCheck, PredictionsConfig
from treadle.kernel.errors import CorruptData, InvalidInput

SPEC = PredictionsConfig(
    path="", label="y", candidate=["ours"], production=["theirs"], key="id", features=["hour"]
)
CHECKS = ChecksConfig(
    performance=PerformanceCheck(metric="accuracy"),
    groups=GroupCheck(by=["sex"], intersections=[["sex", "race"]], min_rows=10),
)


@pytest.fixture
def write(tmp_path):
    def _write(name="p.parquet", **columns):
        rng = np.random.default_rng(1)
        labels = rng.random(300) < 0.4
        table = {
            "id": [f"r{i}" for i in range(300)],
            "y": labels,
            "ours": np.clip(0.3 + 0.4 * labels + rng.normal(0, 0.1, 300), 0, 1),
            "theirs": np.clip(0.3 + 0.4 * labels + rng.normal(0, 0.2, 300), 0, 1),
            "sex": rng.choice(["F", "M"], 300),
            "race": pa.array([None, *rng.choice(["a", "b"], 299)]),
            "hour": rng.integers(0, 24, 300),
            **columns,
        }
        table = pa.table({key: value for key, value in table.items() if value is not None})
        path = tmp_path / name
        if path.suffix == ".csv":
            pa.csv.write_csv(table, path)
        else:
            pq.write_table(table, path)
        return path

    return _write


@pytest.mark.parametrize("name", ["p.parquet", "p.csv"])
def test_a_file_is_read_and_judged(workspace, write, name):
    found = load_predictions(workspace.engine, CHECKS, write(name), SPEC)
    assert (len(found.candidate), len(found.production), found.only_candidate) == (1, 1, 0)
    assert pairing(found) is None
    assert set(found.holdout.labels) == {0.0, 1.0}
    assert found.holdout.groups["race"][0] == "(missing)"
    assert found.holdout.inputs["hour"].shape == (300,)
    verdicts = judge(CHECKS, found.holdout, found.candidate[0], found.production[0])
    assert {"overall", "sex=F", "sex=M", "sex=F, race=a"} <= {v.subject for v in verdicts}


def test_several_seeds_and_several_classes(workspace, write):
    rng = np.random.default_rng(2)
    several = {
        f"{who}_{c}": np.full(300, 1 / 3) for who in ("s1", "s2", "old") for c in ("cat", "dog", "owl")
    }
    path = write(y=rng.choice(["cat", "dog", "owl"], 300), **several)
    spec = PredictionsConfig(
        path="", label="y", candidate=["s1", "s2"], production=["old"], classes=["cat", "dog", "owl"]
    )
    found = load_predictions(workspace.engine, CHECKS, path, spec)
    assert [one.shape for one in (*found.candidate, *found.production)] == [(300, 3)] * 3
    assert set(found.holdout.labels) == {0.0, 1.0, 2.0}
    with pytest.raises(InvalidInput, match="'owl' is none of the classes cat, dog"):
        load_predictions(
            workspace.engine,
            CHECKS,
            path,
            PredictionsConfig(path="", label="y", candidate=["s1"], classes=["cat", "dog"]),
        )


def test_two_files_are_paired_by_key_in_any_order(workspace, write):
    whole = load_predictions(workspace.engine, CHECKS, write(), SPEC)
    one = write("one.parquet", theirs=None)
    rows = pq.read_table(write("two.parquet")).select(["id", "theirs", "y"])
    order = np.random.default_rng(3).permutation(300)[:280]
    two = one.with_name("two.parquet")
    pq.write_table(rows.take(order), two)
    found = load_predictions(workspace.engine, CHECKS, one, SPEC, two)
    assert (len(found.holdout.labels), found.only_candidate, found.only_production) == (280, 20, 0)
    told = pairing(found)
    assert told.outcome == "inconclusive"
    assert "280 rows have predictions of both models; 20 only of the candidate" in told.sentence
    kept = set(order.tolist())
    theirs = [score for i, score in enumerate(whole.production[0]) if i in kept]
    assert sorted(found.production[0]) == pytest.approx(sorted(theirs))
    pairs = np.array(sorted(zip(found.candidate[0], found.production[0], strict=True)))
    expected = sorted((whole.candidate[0][i], whole.production[0][i]) for i in kept)
    assert pairs == pytest.approx(np.array(expected))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"y": None}, "no column 'y'"),
        ({"ours": None}, "no column 'ours'"),
        ({"sex": None}, "no column 'sex'"),
        ({"y": ["yes"] * 300}, "neither number nor boolean"),
        ({"y": pa.array([None, *[True] * 299])}, "1 of 300 rows have no label"),
        ({"ours": ["a"] * 300}, "no numbers"),
        ({"id": ["r0", *[f"r{i}" for i in range(299)]]}, "1 keys are there more than once"),
        ({"id": [None, *[f"r{i}" for i in range(299)]]}, "1 rows have no key"),
    ],
)
def test_what_can_not_be_judged_is_refused(workspace, write, columns, says):
    with pytest.raises(InvalidInput, match=says):
        load_predictions(workspace.engine, CHECKS, write(**columns), SPEC)


@pytest.mark.parametrize("spoil", [None, np.nan, np.inf, 1.5])
def test_scores_that_can_not_be_used_are_refused_when_judged(workspace, write, spoil):
    path = write(ours=pa.array([spoil, *[0.5] * 299]))
    found = load_predictions(workspace.engine, CHECKS, path, SPEC)
    with pytest.raises(InvalidInput, match="scores"):
        judge(CHECKS, found.holdout, found.candidate[0], found.production[0])


def test_files_that_can_not_be_paired_are_refused(workspace, write, tmp_path):
    one = write("one.parquet", theirs=None)
    other = pq.read_table(write("two.parquet"))

    def paired(table):
        pq.write_table(table, tmp_path / "two.parquet")
        return load_predictions(workspace.engine, CHECKS, one, SPEC, tmp_path / "two.parquet")

    place = other.schema.get_field_index("id")
    with pytest.raises(InvalidInput, match="no row is in both files"):
        paired(other.set_column(place, "id", pa.array([f"x{i}" for i in range(300)])))
    with pytest.raises(InvalidInput, match="the key is VARCHAR in one file and BIGINT"):
        paired(other.set_column(place, "id", pa.array(range(300))))
    with pytest.raises(InvalidInput, match="more than once") as twice:
        paired(pa.concat_tables([other, other.slice(0, 1)]))
    assert twice.value.where == f"{tmp_path / 'two.parquet'}, column 'id'"
    with pytest.raises(InvalidInput, match="disagree about the label of 300 of 300 rows"):
        paired(other.set_column(other.schema.get_field_index("y"), "y", pa.array([2] * 300)))
    with pytest.raises(InvalidInput, match="paired by a key"):
        load_predictions(workspace.engine, CHECKS, one, msgspec.structs.replace(SPEC, key=""), one)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1")
    with pytest.raises(CorruptData):
        load_predictions(workspace.engine, CHECKS, one, SPEC, broken)
