from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.experiment.rules import (
    check_artifact_path,
    check_params,
    check_run,
    fold,
    unseen,
)
from treadle.experiment.types import (
    Finish,
    JournalBatch,
    LogArtifact,
    LogMetrics,
    LogParams,
    LogTags,
    NewRun,
    Run,
)
from treadle.kernel.errors import Conflict, InvalidInput

AT = datetime(2026, 3, 1, tzinfo=UTC)


def run(number: int = 1, **given) -> Run:
    return Run(id=f"run_{number}", name="a", started_at=AT, **given)


def test_steps_count_up_where_none_is_given_and_go_on_from_the_last():
    records = [
        LogMetrics(1.0, {"loss": 3.0, "auc": 0.5}),
        LogMetrics(2.0, {"loss": 2.0}),
        LogMetrics(3.0, {"loss": 1.0}, step=10),
        LogMetrics(4.0, {"loss": 0.5}),
    ]
    changes = fold(run(applied=7), {"auc": 4}, records)
    assert [(p.name, p.record, p.step) for p in changes.points] == [
        ("loss", 7, 0),
        ("auc", 7, 5),
        ("loss", 8, 1),
        ("loss", 9, 10),
        ("loss", 10, 11),
    ]
    assert changes.applied == 11
    assert changes.latest["loss"].value == 0.5


def test_fold_gathers_params_tags_artifacts_and_the_end():
    changes = fold(
        run(params={"depth": 3}, tags={"host": "a"}),
        {},
        [
            LogParams({"lr": 0.1, "depth": 3}),
            LogTags({"host": "b"}),
            LogArtifact("model/m.onnx", 5, "a" * 64),
            LogArtifact("model/m.onnx", 6, "b" * 64),
            Finish(AT.timestamp(), "failed", "boom"),
        ],
    )
    assert changes.params == {"depth": 3, "lr": 0.1}
    assert changes.tags == {"host": "b"}
    assert changes.artifacts["model/m.onnx"].size == 6
    assert changes.finish is not None
    assert changes.finish.message == "boom"


def test_fold_leaves_the_run_as_it_was_when_it_refuses():
    before = run(params={"depth": 3})
    with pytest.raises(Conflict, match=r"parameter 'depth' is 3 and can't become 4"):
        fold(before, {}, [LogParams({"new": 1, "depth": 4})])
    assert before.params == {"depth": 3}


@pytest.mark.parametrize(("old", "new"), [(3, 4), ("a", "b"), (True, 1), (0.0, False), (3, "3")])
def test_a_known_parameter_never_changes(old, new):
    with pytest.raises(Conflict) as caught:
        check_params({"p": new}, {"p": old}, "run_1")
    assert repr(old) in str(caught.value)
    assert repr(new) in str(caught.value)


@pytest.mark.parametrize(("old", "new"), [(3, 3), (3, 3.0), ("a", "a"), (True, True)])
def test_an_equal_parameter_is_no_conflict(old, new):
    check_params({"p": new}, {"p": old}, "run_1")


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**63, -(2**63) - 1])
def test_parameters_that_no_store_can_keep_are_refused(value):
    with pytest.raises(InvalidInput, match="'p'"):
        check_params({"p": value}, {}, "run_1")


@pytest.mark.parametrize("name", ["", "a\nb", "a\0b", "x" * 251])
def test_names_that_cannot_be_shown_are_refused(name):
    for record in (LogMetrics(0.0, {name: 1.0}), LogParams({name: 1}), LogTags({name: "v"})):
        with pytest.raises(InvalidInput, match="can't be the name"):
            fold(run(), {}, [record])


@pytest.mark.parametrize(
    "record",
    [
        LogMetrics(1e300, {"a": 1.0}),
        LogMetrics(math.nan, {"a": 1.0}),
        LogMetrics(0.0, {"a": 1.0}, step=2**63),
        Finish(1e18, "finished"),
        LogArtifact("a", -1, "0" * 64),
        LogArtifact("../a", 1, "0" * 64),
    ],
)
def test_impossible_records_are_refused(record):
    with pytest.raises(InvalidInput):
        fold(run(), {}, [record])


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "..", "../x", "a/../../x", "a//b", "./a", "a/", "a\\..\\b", "a\0b", "x" * 1001],
)
def test_paths_that_lead_elsewhere_are_refused(path):
    with pytest.raises(InvalidInput, match="can't be the path of an artifact"):
        check_artifact_path(path)


@given(st.text())
def test_an_allowed_path_never_leaves_its_folder(path):
    from pathlib import PurePosixPath

    try:
        check_artifact_path(path)
    except InvalidInput:
        return
    parts = PurePosixPath("/files", path).parts
    assert parts[:2] == ("/", "files")
    assert ".." not in parts


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../x"},
        {"id": ""},
        {"experiment": "a\nb"},
        {"name": ""},
        {"seed": -1},
        {"seed": 2**63},
        {"replica": -1},
        {"cycle": "a/b"},
        {"started_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - the mistake on trial
    ],
)
def test_a_run_that_cannot_be_kept_is_refused(change):
    with pytest.raises(InvalidInput):
        check_run(NewRun(**{"id": "run_1", "name": "a", "started_at": AT} | change))


@pytest.mark.parametrize(("first", "left"), [(0, [3, 4]), (2, [3, 4]), (3, [3, 4])])
def test_records_that_are_kept_are_passed_over(first, left):
    records = [Finish(float(n), "finished") for n in range(first, 5)]
    assert [r.at for r in unseen(run(applied=3), JournalBatch(first, records))] == left


@pytest.mark.parametrize("first", [4, -1])
def test_records_beyond_a_gap_are_refused(first):
    with pytest.raises(Conflict, match="only 3 records are kept") as caught:
        unseen(run(applied=3), JournalBatch(first, []))
    assert "from record 3" in str(caught.value)
