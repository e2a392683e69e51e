"""The data checks of reviews: what a merge would change, judged by what ``[checks.data]`` allows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from treadle.data import Judged
from treadle.evaluate import DataGates
from treadle.evaluate.data.moves import moves
from treadle.evaluate.data.suite import Suite

ALL = ("schema", "volume", "values", "drift", "balance")


def judged(path=None, rows=400, count=1) -> Judged:
    return Judged(count=count, bytes=100, rows=rows if path else 0, files=(path,) if path else ())


def run(workspace, after, before, dataset="rows"):
    found = DataGates(workspace).judge(dataset, ALL, after, before)
    assert tuple(gate.name for gate in found) == ALL
    assert all(one.sentence.endswith(".") for gate in found for one in gate.findings)
    return {gate.name: gate for gate in found}


def said(gate) -> list[str]:
    return [one.sentence for one in gate.findings if one.outcome == gate.outcome]


def test_what_hardly_changes_passes(workspace, write):
    found = run(workspace, judged(write(rows=420, name="new"), 420), judged(write()))
    assert {gate.outcome for gate in found.values()} == {"pass"}
    assert said(found["schema"]) == [
        "The 2 features and the label 'late' are there.",
        "All 5 columns stay.",
    ]
    assert said(found["volume"])[1] == "There were 400 rows and would be 420, 5 % more; up to 10 % may go."
    assert {one.subject for one in found["drift"].findings} == {
        "hour",
        "carrier",
    }  # no key, no time, no label
    assert [one.subject for one in found["balance"].findings] == ["late"]


CHANGES = {
    "a column goes": ({"carrier": None}, "schema", "Column 'carrier' (text) would go."),
    "another kind": (
        {"hour": [f"h{i}" for i in range(400)]},
        "schema",
        "Column 'hour' is int64 and would be text.",
    ),
    "missing values": (
        {"carrier": [None] * 40 + ["AA"] * 360},
        "values",
        "carrier: 40 of 400 values (10 %) are missing; none may be.",
    ),
    "numbers moved": ({"hour": np.full(400, 23)}, "drift", "hour: its distribution moved by"),
    "other texts": ({"carrier": ["XX"] * 400}, "drift", "carrier: its distribution moved by"),
    "labels moved": ({"late": [True] * 300 + [False] * 100}, "balance", "late: its distribution moved by"),
    "one class": (
        {"late": [True] * 400},
        "balance",
        "late: all 400 labels are 1; there is nothing to learn.",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_changes_too_much_fails_by_name(case, workspace, write):
    columns, gate, sentence = CHANGES[case]
    found = run(workspace, judged(write(name="new", **columns)), judged(write()))
    assert found[gate].outcome == "fail"
    assert any(one.startswith(sentence) for one in said(found[gate]))


def test_what_is_lost_and_what_is_too_little(workspace, write):
    found = run(workspace, judged(write(rows=90, name="new"), 90), judged(write()))
    assert said(found["volume"]) == [
        "There are 90 rows; at least 100 are needed.",
        "There were 400 rows and would be 90, 77.5 % less; up to 10 % may go.",
    ]


def test_a_check_of_a_column_that_goes_fails_the_schema(configure, write):
    workspace = configure(data={"ranges": {"extra": [0, 1]}})
    found = run(workspace, judged(write(name="new")), judged(write(extra=np.zeros(400))))
    assert found["schema"].outcome == "fail"
    assert "[checks.data] can't be asked: the data has no column 'extra'" in said(found["schema"])[0]
    assert found["values"].outcome == "inconclusive"


def test_labels_may_come_later(workspace, write):
    late = [None] * 30 + [True] * 120 + [False] * 250
    found = run(workspace, judged(write(name="new", late=late)), judged(write(late=late)))
    assert found["values"].outcome == "pass"
    assert found["balance"].outcome == "pass"


def test_a_dataset_that_nothing_is_trained_on(workspace, write):
    found = run(workspace, judged(write(name="new", carrier=None)), judged(write()), "other")
    assert found["schema"].outcome == "fail"
    assert (found["values"].outcome, found["balance"].outcome) == ("inconclusive", "inconclusive")
    assert said(found["balance"]) == ["other declares no label ([data.other] label)."]
    assert {one.subject for one in found["drift"].findings} == {"id", "hour", "late"}


def test_files_that_are_no_table(workspace):
    found = run(workspace, judged(count=95), judged(count=100), "images")
    assert found["volume"].outcome == "pass"
    assert said(found["volume"]) == ["There were 100 files and would be 95, 5 % less; up to 10 % may go."]
    assert {found[name].outcome for name in ALL if name != "volume"} == {"inconclusive"}
    why = Judged(count=1, bytes=1, why="a.png: it is neither Parquet nor CSV")
    said_why = "images is no table (a.png: it is neither Parquet nor CSV): there are no columns to check."
    assert said(run(workspace, why, why, "images")["drift"]) == [said_why]


def test_a_table_that_would_be_none(workspace, write):
    found = run(workspace, judged(count=1), judged(write()))
    assert {found[name].outcome for name in ALL if name != "volume"} == {"fail"}
    assert said(found["schema"]) == ["rows would be a table no more: there are no columns to check."]


def test_the_first_version(workspace, write):
    found = run(workspace, judged(write()), None)
    assert {gate.outcome for gate in found.values()} == {"pass"}


def test_no_rows_left(workspace, write):
    found = run(workspace, judged(write(rows=0, name="new"), 0), judged(write()))
    assert {found[name].outcome for name in ("volume", "drift", "balance")} == {"fail"}
    found = run(workspace, judged(write(name="new")), judged(write(rows=0), 0))
    assert found["drift"].outcome == "pass"


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.decimal128(21, 2), pa.int8(), pa.uint64()])
def test_numbers_of_every_kind_with_values_that_are_none(workspace, write, kind):
    values = pa.array([i % 100 for i in range(399)] + [None]).cast(kind)
    if pa.types.is_floating(kind):
        values = pa.concat_arrays(
            [values[:390], pa.array([float("nan")] * 5 + [float("inf")] * 5).cast(kind)]
        )
    old, new = write(extra=values, name="old"), write(extra=values[::-1], name="new")
    [found] = moves(workspace.engine, Suite(), ["extra", "at"], [old], [new])
    assert (found.outcome, found.estimate, found.n) == ("pass", 0.0, 400)
