"""The gate on data: each check passes, fails and refuses as it should, and says so."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from treadle.evaluate import Evaluations
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound
from treadle.kernel.scan.duckdb_scan import DuckDBScan
from treadle.kernel.scan.polars_scan import PolarsScan


def run(workspace, data, reference=None):
    verdicts = Evaluations(workspace).checking(data, reference).judge()
    assert all(verdict.sentence.endswith(".") for verdict in verdicts)
    return {(verdict.check, verdict.subject): verdict for verdict in verdicts}


def test_good_rows_pass_with_a_sentence_each(configure, write):
    found = run(
        configure(
            data={
                "unique": ["id"],
                "ranges": {"hour": [0, 23]},
                "values": {"carrier": ["AA", "UA", "B6"]},
                "min_class_share": 0.1,
            }
        ),
        write(),
    )
    assert {verdict.outcome for verdict in found.values()} == {"pass"}
    assert [verdict.sentence for verdict in found.values()][:-1] == [
        "The 2 features and the label 'late' are there.",
        "There are 400 rows; at least 100 are needed.",
        "hour: 0 of 400 values (0 %) are missing; up to 10 % may be.",
        "carrier: 0 of 400 values (0 %) are missing; none may be.",
        "late: 0 of 400 values (0 %) are missing; none may be.",
        "id: no value appears twice.",
        "hour: no values lie outside [0, 23]; they go from 0 to 23.",
        "carrier: all values are among the 3 allowed.",
    ]
    share = found["min_class_share", "late"]
    assert share.low < share.estimate < share.high
    assert "late: the rarer class is " in share.sentence


def test_a_missing_column_fails_by_name_and_the_rest_is_still_checked(workspace, write):
    found = run(workspace, write(hour=None, hours=np.arange(400)))
    assert found["schema", "hour"].outcome == "fail"
    assert found["schema", "hour"].sentence == "Column 'hour' is missing (did you mean 'hours'?)."
    assert found["nulls", "carrier"].outcome == "pass"
    assert ("nulls", "hour") not in found


def test_too_few_rows_fail(workspace, write):
    assert run(workspace, write(rows=99))["min_rows", "rows"].outcome == "fail"
    assert run(workspace, write(rows=100))["min_rows", "rows"].outcome == "pass"


def test_no_rows_fail_and_nothing_else_is_claimed(workspace, write):
    found = run(workspace, write(rows=0))
    assert {key[0] for key in found} == {"schema", "min_rows"}
    assert found["min_rows", "rows"].outcome == "fail"


def test_missing_values_count_with_nan_and_up_to_the_bound(workspace, write):
    hours = np.arange(400, dtype=float)
    hours[:39] = np.nan
    column = pa.array([None, *hours[1:]])
    assert run(workspace, write(hour=column))["nulls", "hour"].estimate == 39 / 400
    hours[:40] = np.nan
    assert run(workspace, write(hour=hours))["nulls", "hour"].outcome == "pass"
    hours[:41] = np.nan
    verdict = run(workspace, write(hour=hours))["nulls", "hour"]
    assert verdict.outcome == "fail"
    assert verdict.sentence == "hour: 41 of 400 values (10.2 %) are missing; up to 10 % may be."
    carriers = pa.array([None, *["AA"] * 399])
    assert run(workspace, write(carrier=carriers))["nulls", "carrier"].outcome == "fail"


def test_a_share_at_the_bound_passes_whatever_its_binary_digits(configure, write):
    column = pa.array([None] * 29 + [1] * 71)
    assert run(configure(data={"max_null": {"hour": 0.29}}), write(rows=100, hour=column))[
        "nulls", "hour"
    ].outcome == ("pass")


def test_max_null_reaches_columns_that_are_no_features(configure, write):
    found = run(configure(data={"max_null": {"id": 0.0}}), write(id=pa.array([None, *map(str, range(399))])))
    assert found["nulls", "id"].outcome == "fail"


def test_repeated_values_are_counted(configure, write):
    ids = [f"r{i}" for i in range(398)] + ["r7", "r9"]
    verdict = run(configure(data={"unique": ["id"]}), write(id=ids))["unique", "id"]
    assert verdict.outcome == "fail"
    assert verdict.sentence == "id: 2 values appear more than once, such as 'r7'."


@pytest.mark.parametrize("odd", [-1.0, 24.0, float("inf"), float("-inf")])
def test_values_outside_a_range_are_counted(configure, write, odd):
    hours = np.arange(400) % 24 + 0.0
    hours[[5, 6]] = odd, np.nan
    verdict = run(configure(data={"ranges": {"hour": [0, 23]}}), write(hour=hours))["ranges", "hour"]
    assert verdict.outcome == "fail"
    assert verdict.estimate == odd
    assert "1 of 400 values lie outside [0, 23]" in verdict.sentence


def test_a_range_may_be_open(configure, write):
    found = run(configure(data={"ranges": {"hour": [float("-inf"), 23]}}), write())
    assert found["ranges", "hour"].outcome == "pass"


def test_a_range_without_values_is_inconclusive(configure, write):
    workspace = configure(data={"ranges": {"hour": [0, 23]}})
    found = run(workspace, write(hour=pa.array([None] * 400, pa.int64())))
    assert found["ranges", "hour"].outcome == "inconclusive"


def test_values_that_are_not_allowed_are_shown(configure, write):
    found = run(
        configure(data={"values": {"carrier": ["AA", "B'6"], "hour": ["1", "2"]}}),
        write(carrier=["AA"] * 397 + ["B'6", "ZZ", None], hour=[1, 2] * 200),
    )
    assert found["values", "hour"].outcome == "pass"
    assert found["values", "carrier"].outcome == "fail"
    assert "1 of 400 values are none of the 2 allowed, such as 'ZZ'" in found["values", "carrier"].sentence


@pytest.mark.parametrize(
    ("true", "outcome"), [(80, "pass"), (45, "inconclusive"), (20, "fail"), (380, "fail")]
)
def test_class_share_is_held_to_its_bound_by_its_interval(configure, write, true, outcome):
    late = np.arange(400) < true
    verdict = run(configure(data={"min_class_share": 0.1}), write(late=late))["min_class_share", "late"]
    assert verdict.outcome == outcome
    assert verdict.estimate == min(true, 400 - true) / 400
    assert (verdict.n_needed is not None) == (outcome == "inconclusive")


def test_a_label_of_one_class_or_three_fails(workspace, write):
    one = run(workspace, write(late=np.ones(400, dtype=int)))["label", "late"]
    assert (one.outcome, one.sentence) == ("fail", "late: all 400 labels are 1; there is nothing to learn.")
    three = run(workspace, write(late=np.arange(400) % 3))["label", "late"]
    assert three.outcome == "fail"
    assert "133 of 400 labels are neither 0 nor 1" in three.sentence
    assert run(workspace, write(late=["yes", "no"] * 200))["label", "late"].outcome == "fail"
    assert ("label", "late") not in run(workspace, write(late=np.arange(400) % 2.0))


@pytest.mark.parametrize(
    ("now", "before", "outcome"),
    [
        (100, 20, "warn"),
        (30, 20, "pass"),
        (60, 45, "pass"),
        (2000, 0, "fail"),
        (500, 20, "fail"),
        (20, 500, "pass"),
    ],
)
def test_more_missing_than_in_the_reference(configure, write, now, before, outcome):
    def hours(nulls):
        return pa.array([None] * nulls + [1] * (4000 - nulls))

    workspace = configure(data={"max_null": {"hour": 1.0}})
    verdict = run(workspace, write(4000, hour=hours(now)), write(4000, "old", hour=hours(before)))[
        "null_increase", "hour"
    ]
    assert verdict.outcome == outcome
    assert verdict.estimate == pytest.approx((now - before) / 4000)
    assert verdict.low < verdict.estimate < verdict.high


def test_a_large_increase_on_few_rows_is_inconclusive(configure, write):
    workspace = configure(data={"min_rows": 10, "max_null": {"hour": 1.0}})
    now, before = pa.array([None] * 2 + [1] * 18), pa.array([None] * 1 + [1] * 19)
    found = run(
        workspace, write(20, hour=pa.array([None, None, None, *[1] * 17])), write(20, "old", hour=before)
    )
    assert found["null_increase", "hour"].outcome == "inconclusive"
    assert "20 rows can't tell that from chance" in found["null_increase", "hour"].sentence
    assert (
        run(workspace, write(20, hour=now), write(20, "old", hour=before))["null_increase", "hour"].outcome
        == "pass"
    )


def test_a_reference_without_a_column_says_nothing_about_it(configure, write):
    found = run(configure(), write(), write(name="old", hour=None))
    assert ("null_increase", "hour") not in found
    assert ("null_increase", "carrier") in found


@pytest.mark.parametrize(
    ("now", "fails"),
    [([str(i) for i in range(400)], True), ([i / 2 for i in range(400)], False), ([True] * 400, False)],
)
def test_a_column_of_another_kind_than_production_was_trained_on_fails(configure, write, now, fails):
    verdict = run(configure(), write(400, hour=pa.array(now)), write(400, "old")).get(("schema", "hour"))
    assert (verdict is not None) == fails
    if verdict:
        assert verdict.outcome == "fail"
        assert verdict.sentence == "Column 'hour' is text and was numbers (int64) in the reference."


@pytest.mark.parametrize(
    ("tables", "where", "says"),
    [
        ({"data": {"unique": ["idd"]}}, "treadle.toml [checks.data] unique", "did you mean 'id'"),
        (
            {"data": {"max_null": {"houry": 0.1}}},
            "treadle.toml [checks.data] max_null",
            "did you mean 'hour'",
        ),
        ({"data": {"ranges": {"hours": [0, 1]}}}, "treadle.toml [checks.data] ranges", "did you mean 'hour'"),
        (
            {"data": {"values": {"carier": ["AA"]}}},
            "treadle.toml [checks.data] values",
            "did you mean 'carrier'",
        ),
        ({"groups": {"by": ["carriers"]}}, "treadle.toml [checks.groups] by", "did you mean 'carrier'"),
        (
            {"performance": {"cluster": "att"}},
            "treadle.toml [checks.performance] cluster",
            "did you mean 'at'",
        ),
        ({"data": {"ranges": {"hour": [5, 1]}}}, "treadle.toml [checks.data] ranges", "empty"),
        ({"data": {"ranges": {"carrier": [5, 7]}}}, "treadle.toml [checks.data] ranges", "is text"),
        ({"data": {"unique": [["id", "hours"]]}}, "treadle.toml [checks.data] unique", "did you mean 'hour'"),
        ({"data": {"unique": [["id", "id"]]}}, "treadle.toml [checks.data] unique", "names a column twice"),
        ({"data": {"types": {"id": "txt"}}}, "treadle.toml [checks.data] types", "no type 'txt'"),
        ({"data": {"values": {"hour": ["x"]}}}, "treadle.toml [checks.data] values", "'x' can't be a value"),
        ({"data": {"values": {"late": [7]}}}, "treadle.toml [checks.data] values", "which is boolean"),
        ({"data": {"patterns": {"hour": "x"}}}, "treadle.toml [checks.data] patterns.hour", "is of texts"),
        ({"data": {"patterns": {"id": "("}}}, "treadle.toml [checks.data] patterns.id", "does not compile"),
        ({"data": {"patterns": {"idd": "x"}}}, "treadle.toml [checks.data] patterns", "did you mean 'id'"),
        (
            {"data": {"conditions": {"early": "hours < 5"}}},
            "treadle.toml [checks.data] conditions.early",
            "no column 'hours'",
        ),
        (
            {"data": {"conditions": {"early": "carrier < 5"}}},
            "treadle.toml [checks.data] conditions.early",
            "can't be compared",
        ),
        ({"data": {"means": {"carrier": [0, 1]}}}, "treadle.toml [checks.data] means", "is text"),
        ({"data": {"means": {"hour": [2, 1]}}}, "treadle.toml [checks.data] means", "empty"),
        (
            {"data": {"max_violations": {"hour": 0.1}}},
            "treadle.toml [checks.data] max_violations",
            "no range, values, pattern or condition",
        ),
        (
            {"data": {"max_violations": {"early": 0.1}}},
            "treadle.toml [checks.data] max_violations",
            "no column 'early'",
        ),
    ],
)
def test_a_check_that_can_not_be_meant_is_refused(configure, write, tables, where, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        run(configure(**tables), write())
    assert caught.value.where == where


def test_a_broken_file_is_refused(workspace, tmp_path):
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1 not at all")
    with pytest.raises(CorruptData):
        run(workspace, path)
    with pytest.raises(NotFound, match="no such file"):
        run(workspace, tmp_path / "gone.parquet")


def test_odd_names_are_quoted(configure, write):
    name = 'we"ird; column'
    workspace = configure(
        data={"unique": [name], "max_null": {name: 0.0}, "ranges": {name: [0, 500]}, "values": {name: ["1"]}}
    )
    found = run(workspace, write(**{name: np.arange(400)}))
    assert found["unique", name].outcome == found["ranges", name].outcome == "pass"
    assert found["values", name].outcome == "fail"


@pytest.mark.parametrize("name", ["duckdb", "polars"])
def test_the_rows_are_scanned_once_whatever_is_asked(configure, write, monkeypatch, name):
    asked = []
    for engine in (DuckDBScan, PolarsScan):

        def counting(self, table, asks, scan=engine.scan):
            asked.append((self.name, table, len(asks)))
            return scan(self, table, asks)

        monkeypatch.setattr(engine, "scan", counting)
    data, old = write(), write(name="old")
    workspace = configure(
        data={
            "unique": ["id"], "ranges": {"hour": [0, 23]}, "values": {"carrier": ["AA", "UA", "B6"]},
            "min_class_share": 0.1, "drift": True, "max_feature_auc": 0.99, "max_volume_change": 0.5,
            "conditions": {"early": "hour < 24"}, "means": {"hour": [0, 23]}, "engine": name,
        }
    )  # fmt: skip
    assert {verdict.outcome for verdict in run(workspace, data, old).values()} <= {"pass", "inconclusive"}
    assert [(engine, table) for engine, table, _ in asked] == [(name, old), (name, data)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_is_found_though_the_files_statistics_know_none(configure, write, dtype):
    hours = np.arange(400, dtype=dtype)
    hours[5] = np.nan
    workspace = configure(data={"max_null": {}, "ranges": {"hour": [0, 399]}})
    found = run(workspace, write(hour=hours))
    assert found["nulls", "hour"].estimate == 1 / 400
    assert found["ranges", "hour"].outcome == "pass"


def test_declared_types_order_and_columns(configure, write):
    types = {"hour": "integer", "id": "text", "late": "boolean", "at": "timestamp"}
    found = run(configure(data={"types": types}), write())
    assert found["types", "columns"].sentence == "All 4 declared types are right."
    workspace = configure(data={"types": {**types, "hour": "int32", "gone": "text"}, "ordered": True})
    found = run(workspace, write())
    assert found["types", "hour"].sentence == "Column 'hour' is int64, not int32."
    assert found["schema", "gone"].sentence.startswith("Column 'gone' is missing")
    assert found["order", "columns"].outcome == "fail"
    assert "the order is id, at, hour, late" in found["order", "columns"].sentence
    in_order = {"id": "text", "at": "timestamptz", "hour": "number", "late": "boolean"}
    found = run(configure(data={"types": in_order, "extra": "refuse"}), write(more=np.arange(400)))
    assert found["order", "columns"].outcome == found["types", "columns"].outcome == "pass"
    assert found["schema", "more"].sentence == "Column 'more' is not expected."


def test_a_key_of_several_columns(configure, write):
    workspace = configure(data={"unique": [["carrier", "hour"], ["id", "hour"]]})
    found = run(workspace, write(carrier=["AA"] * 399 + ["UA"], hour=[*range(398), 397, 397]))
    assert found["unique", "(id, hour)"].outcome == "pass"
    sentence = "(carrier, hour): 1 value appears more than once, such as ('AA', 397)."
    assert found["unique", "(carrier, hour)"].sentence == sentence


def test_patterns_and_conditions_show_rows_that_break_them(configure, write):
    workspace = configure(
        data={
            "patterns": {"carrier": "[A-Z]{2}"},
            "conditions": {"night": "hour >= 5 OR late", "any": "hour >= 0"},
            "max_null": {"hour": 1.0, "carrier": 1.0},
        }
    )
    data = write(hour=[1, 2, None, *[12] * 397], late=[False] * 400, carrier=["A1", "b2", *["AA"] * 398])
    found = run(workspace, data)
    assert found["patterns", "carrier"].sentence == (
        "carrier: 2 of 400 values don't match [A-Z]{2}, such as 'A1' (id 'r0'); 'b2' (id 'r1')."
    )
    night = found["conditions", "night"]
    assert night.outcome == "fail"
    assert (night.estimate, night.bound, night.n) == (2 / 400, 0.0, 400)
    assert night.sentence == (
        "night: `hour >= 5 OR late` does not hold in 2 of 400 rows, such as hour 1, late False (id 'r0'); "
        "hour 2, late False (id 'r1'); for 1 a value is missing."
    )
    sentence = "any: `hour >= 0` holds in all 400 rows; for 1 a value is missing."
    assert found["conditions", "any"].sentence == sentence


@pytest.mark.parametrize(("allowed", "outcome"), [(0.004, "fail"), (0.005, "pass"), (1.0, "pass")])
def test_some_rows_may_break_a_rule(configure, write, allowed, outcome):
    hours = [99, -5, *[12] * 398]
    rules = {"ranges": {"hour": [0, 23]}, "conditions": {"day": "hour between 0 and 23"}}
    workspace = configure(data={**rules, "max_violations": {"hour": allowed, "day": allowed}})
    found = run(workspace, write(hour=hours))
    assert found["ranges", "hour"].outcome == found["conditions", "day"].outcome == outcome
    assert (
        "2 of 400 values lie outside [0, 23]; they go from -5 to 99; up to"
        in found["ranges", "hour"].sentence
    )


@pytest.mark.parametrize(
    ("ends", "outcome"),
    [([9, 11], "pass"), ([9.9, 11], "inconclusive"), ([10.1, 12], "inconclusive"), ([12, 13], "fail")],
)
def test_a_mean_is_held_to_its_bounds_by_its_interval(configure, write, ends, outcome):
    values = np.random.default_rng(2).normal(0, 2, 400)
    hours = values - values.mean() + 10
    found = run(configure(data={"means": {"hour": ends}}), write(hour=hours))["means", "hour"]
    assert found.outcome == outcome
    low, high = stats.t.interval(0.95, 399, 10, hours.std(ddof=1) / 20)
    # Allowing for skewness moves bounds outwards, of so many rows hardly.
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01 * (high - low))
    assert found.low <= low < high <= found.high
    nearest = min(ends, key=lambda end: abs(end - 10))
    tail = stats.ttest_1samp(hours, nearest, alternative="less" if ends[0] > 10 else "greater").pvalue
    assert found.p_value == pytest.approx(tail if not ends[0] <= 10 <= ends[1] else 1 - tail, abs=0.005)


def test_means_that_can_not_be_told(configure, write):
    workspace = configure(data={"means": {"hour": [0, 1]}, "max_null": {"hour": 1.0}})
    infinite = run(workspace, write(hour=[float("inf"), *[1.0] * 399]))["means", "hour"]
    assert (infinite.outcome, "1 values are infinite" in infinite.sentence) == ("inconclusive", True)
    none = run(workspace, write(hour=pa.array([None] * 400, pa.float64())))["means", "hour"]
    assert none.outcome == "inconclusive"
    constant = run(workspace, write(hour=np.ones(400)))["means", "hour"]
    assert constant.outcome == "pass"


def test_every_value_missing_is_inconclusive(configure, write):
    workspace = configure(
        data={
            "patterns": {"carrier": "A"}, "values": {"carrier": ["AA"]}, "conditions": {"a": "carrier = 'A'"},
            "max_null": {"carrier": 1.0},
        }
    )  # fmt: skip
    found = run(workspace, write(carrier=pa.array([None] * 400, pa.string())))
    for key in (("patterns", "carrier"), ("values", "carrier"), ("conditions", "a")):
        assert found[key].outcome == "inconclusive"


def test_all_tests_together_raise_no_more_false_alarms_than_declared(configure):
    """Many pairs of samples of one source: five shares of missing values, three distributions."""
    from treadle.evaluate.data.drift import Drift
    from treadle.evaluate.data.missing import NullIncrease
    from treadle.evaluate.data.part import Facts, decide
    from treadle.evaluate.data.suite import Suite
    from treadle.kernel.config import DataCheck
    from treadle.kernel.scan.answers import Bins, Missing, RowCount, Sample
    from treadle.kernel.scan.asks import Answers, CountBins, CountMissing, CountRows
    from treadle.kernel.scan.columns import Column

    names = list("abcde")
    columns = {name: Column(name, "number", "float64") for name in [*names, "x", "y", "z"]}
    suite = Suite(columns=tuple(names), checks=DataCheck(max_null_increase=0.0, max_drift=1e-9))
    rng, trials, alarms = np.random.default_rng(3), 1500, 0
    for _ in range(trials):
        before, now = (
            {CountRows(): RowCount(500)}
            | {CountMissing(name): Missing(int(rng.binomial(500, 0.2))) for name in names}
            for _ in "12"
        )
        old = {name: rng.normal(size=500) for name in "xyz"}
        drift = Drift(suite, columns, list("xyz"), Sample(500, 500, old))
        for ask in drift.asks():
            assert isinstance(ask, CountBins)
            tally = np.bincount(np.searchsorted(ask.edges, rng.normal(size=500)), minlength=10)
            now[ask] = Bins(tuple(tally.tolist()), 0)
        facts = Facts(Answers(now), Answers(before))
        parts = [NullIncrease(suite, columns, columns), drift]
        verdicts = decide([one for part in parts for one in part.judge(facts)], suite)
        assert len(verdicts) == 8
        alarms += any(verdict.outcome == "fail" for verdict in verdicts)
    assert trials * 0.02 < alarms <= stats.binom.ppf(0.999, trials, 0.05)
