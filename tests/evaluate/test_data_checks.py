"""The gate on data: each check passes, fails and refuses as it should, and says so."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from treadle.evaluate.data_checks import check
from treadle.kernel.engine import DuckDBEngine
from treadle.kernel.errors import CorruptData, InvalidInput


def run(workspace, data, reference=None):
    verdicts = check(workspace.engine, workspace.config, data, reference)
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
    [(100, 20, "pass"), (2000, 0, "fail"), (500, 20, "fail"), (20, 500, "pass")],
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
        assert verdict.sentence.startswith("Column 'hour' is text (VARCHAR) and was numbers (")


def test_null_increase_raises_no_alarm_on_noise(configure, write):
    """Many pairs of slices from one source: the family-wise level is kept, and the margin is on top."""
    from treadle.evaluate.data_checks import _increase
    from treadle.evaluate.rules import holm, share_increase

    config = configure(data={"max_null_increase": 0.0}).config
    rng = np.random.default_rng(3)
    trials, alarms = 2000, 0
    for _ in range(trials):
        facts, old = (
            {("", "rows"): 500} | {(c, "nulls"): int(rng.binomial(500, 0.2)) for c in "abcde"} for _ in "12"
        )
        found = [share_increase((facts[c, "nulls"], 500), (old[c, "nulls"], 500)) for c in "abcde"]
        adjusted = holm([p for _, _, p in found])
        verdicts = [
            _increase(c, facts, old, f, p, config) for c, f, p in zip("abcde", found, adjusted, strict=True)
        ]
        alarms += any(verdict.outcome == "fail" for verdict in verdicts)
    assert 0 < alarms <= stats.binom.ppf(0.999, trials, 0.05)


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
        ({"data": {"ranges": {"carrier": [5, 7]}}}, "treadle.toml [checks.data] ranges", "VARCHAR"),
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


def test_odd_names_are_quoted(configure, write):
    name = 'we"ird; column'
    workspace = configure(
        data={"unique": [name], "max_null": {name: 0.0}, "ranges": {name: [0, 500]}, "values": {name: ["1"]}}
    )
    found = run(workspace, write(**{name: np.arange(400)}))
    assert found["unique", name].outcome == found["ranges", name].outcome == "pass"
    assert found["values", name].outcome == "fail"


def test_the_rows_are_read_in_one_query(configure, write, monkeypatch):
    asked = []
    rows = DuckDBEngine.rows

    def counting(self, sql, params=(), tables=None):
        asked.append(sql)
        return rows(self, sql, params, tables)

    monkeypatch.setattr(DuckDBEngine, "rows", counting)
    run(configure(data={"unique": ["id"], "ranges": {"hour": [0, 23]}, "min_class_share": 0.1}), write())
    assert len(asked) == 3  # the columns' types, all statistics, and the exact uniqueness of one column
    assert "DESCRIBE" in asked[0]
    assert "GROUP BY" in asked[2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_is_found_though_the_files_statistics_know_none(configure, write, dtype):
    hours = np.arange(400, dtype=dtype)
    hours[5] = np.nan
    workspace = configure(data={"max_null": {}, "ranges": {"hour": [0, 399]}})
    found = run(workspace, write(hour=hours))
    assert found["nulls", "hour"].estimate == 1 / 400
    assert found["ranges", "hour"].outcome == "pass"
