"""Evaluations are made once and kept; the held-out rows are read as they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from treadle.evaluate import Evaluations
from treadle.evaluate.metrics import estimate
from treadle.kernel.errors import ConfigError, Conflict, CorruptData, InvalidInput, NotFound
from treadle.kernel.workspace import Workspace


@pytest.fixture
def scored(workspace, write):
    """Held-out rows with good scores, and the service."""
    service = Evaluations(workspace)
    holdout = service.load_holdout(write(rows=900))
    rng = np.random.default_rng(2)
    return service, holdout, np.clip(0.3 + 0.3 * holdout.labels + rng.normal(0, 0.15, 900), 0, 1)


def test_a_holdout_has_labels_inputs_and_groups_in_the_files_order(workspace, write):
    hours = pa.array([None, *range(1, 400)])
    carriers = pa.array(["AA", None, *["UA"] * 398])
    late = np.arange(400) % 3 == 0
    holdout = Evaluations(workspace).load_holdout(write(hour=hours, carrier=carriers, late=late))
    assert holdout.labels.tolist() == late.astype(float).tolist()
    assert holdout.inputs["hour"].tolist()[:3] == [None, 1, 2]
    assert holdout.inputs["carrier"].tolist()[:3] == ["AA", None, "UA"]
    assert holdout.groups["carrier"].tolist()[:3] == ["AA", "(missing)", "UA"]
    assert (holdout.clusters, holdout.unit) == (None, "rows")


def test_a_time_clusters_by_its_day_in_utc(configure, write):
    workspace = configure(performance={"cluster": "at"})
    holdout = Evaluations(workspace).load_holdout(write())
    # From 5:00 every two hours: ten rows on the first day, then twelve.
    assert np.bincount(holdout.clusters)[:3].tolist() == [10, 12, 12]
    assert holdout.unit == "days"


def test_other_columns_cluster_by_their_values(configure, write):
    workspace = configure(performance={"cluster": "carrier"})
    holdout = Evaluations(workspace).load_holdout(write(carrier=["UA", "AA", "UA", "B6"] * 100))
    assert holdout.clusters[:4].tolist() == [2, 0, 2, 1]
    assert holdout.unit == "values of carrier"


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"hour": None}, "no column 'hour'"),
        ({"late": None}, "no column 'late'"),
        ({"late": ["yes"] * 400}, "neither number nor boolean"),
        ({"late": pa.array([None, *[True] * 399])}, "1 of 400 held-out rows have no label"),
        ({"at": pa.array([None] * 400, pa.timestamp("us"))}, "400 of 400 held-out rows have no cluster"),
        ({"rows": 0}, "no held-out rows"),
    ],
)
def test_a_holdout_that_can_not_be_judged_on_is_refused(configure, write, columns, says):
    workspace = configure(performance={"cluster": "at"})
    with pytest.raises(InvalidInput, match=says):
        Evaluations(workspace).load_holdout(write(**columns))


def test_a_missing_group_or_cluster_column_names_its_key(configure, write):
    workspace = configure(groups={"by": ["carier"]})
    with pytest.raises(InvalidInput, match="did you mean 'carrier'") as caught:
        Evaluations(workspace).load_holdout(write())
    assert caught.value.where == "treadle.toml [checks.groups] by"


@pytest.mark.parametrize("engine", ["duckdb", "polars"])
def test_held_out_rows_that_were_trained_on_fail(configure, write, engine):
    service = Evaluations(configure(data={"engine": engine}))
    holdout = write(name="holdout")
    apart = write(name="apart", id=[f"t{i}" for i in range(400)])
    mixed = write(name="mixed", id=[f"{'r' if i < 7 else 't'}{i}" for i in range(400)])
    [found] = service.overlap(holdout, apart)
    assert (found.outcome, found.estimate, found.n) == ("pass", 0.0, 400)
    [found] = service.overlap(holdout, mixed)
    assert found.outcome == "fail"
    assert found.sentence == (
        "7 of 400 held-out rows (1.75 %) are among those trained on, by id, such as 'r0'; none may be."
    )
    # A row without a key can't be known again, though the other file has such rows too.
    nameless = [write(name=one, id=pa.array([None] * 400, pa.string())) for one in ("one", "two")]
    assert service.overlap(*nameless)[0].outcome == "pass"
    with pytest.raises(InvalidInput, match="'id' is int64 in the rows trained on and text"):
        service.overlap(holdout, write(name="numbered", id=list(range(400))))
    with pytest.raises(InvalidInput, match="no column 'id'"):
        service.overlap(holdout, write(name="unnamed", id=None))


def test_overlap_is_judged_as_the_checks_of_data_say(configure, write):
    holdout = write(name="holdout")
    mixed = write(name="mixed", id=[f"{'r' if i < 7 else 't'}{i}" for i in range(400)])
    assert Evaluations(configure(data={"max_overlap": 0.05})).overlap(holdout, mixed)[0].outcome == "pass"
    by = Evaluations(configure(data={"overlap_by": ["at", "hour", "carrier"]}))
    assert by.overlap(holdout, mixed)[0].estimate == 1.0


def test_judging_keeps_the_verdicts_metrics_and_noise(scored, clock):
    service, holdout, scores = scored
    replicas = [scores**2, scores**3 * 0.5 + 0.1 * np.sin(np.arange(900)) ** 2]
    found = service.judge(
        "eval_1",
        subject="run_1",
        holdout=holdout,
        candidate=scores,
        production=1 - scores,
        replicas=replicas,
        data="d1",
        baseline="toy/3",
    )
    assert found.outcome == "pass"
    assert {verdict.subject for verdict in found.verdicts} == {
        "overall",
        "carrier=AA",
        "carrier=B6",
        "carrier=UA",
    }
    assert "toy/3's" in found.verdicts[1].sentence
    assert found.metrics == service.measure(holdout, scores)
    assert set(found.metrics) == {"roc_auc", "log_loss", "brier", "accuracy"}
    aucs = [estimate("roc_auc", holdout.labels, s).value for s in (scores, *replicas)]
    assert found.noise == pytest.approx(stats.tstd(aucs))
    assert (found.kind, found.subject, found.baseline, found.data) == ("model", "run_1", "toy/3", "d1")
    assert found.at == clock.now()
    assert service.get("eval_1") == found


def test_a_known_identity_is_answered_without_judging_again(scored, clock):
    service, holdout, scores = scored
    first = service.judge("eval_1", subject="run_1", holdout=holdout, candidate=scores)
    clock.at += timedelta(days=1)
    again = service.judge("eval_1", subject="run_1", holdout=holdout, candidate=1 - scores)
    assert again == first
    with pytest.raises(Conflict, match="'run_1'"):
        service.judge("eval_1", subject="run_2", holdout=holdout, candidate=scores)


def test_racing_evaluations_agree_on_each_metadata_store(scored, project, clock, metadata_url):
    _, holdout, scores = scored
    toml = project / "treadle.toml"
    toml.write_text(f'{toml.read_text()}\n[store]\nmetadata = "{metadata_url}"\n')
    workspace = Workspace.open(project, clock=clock)

    def judge(candidate):
        return Evaluations(workspace).judge("eval_1", subject="run_1", holdout=holdout, candidate=candidate)

    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(judge, [scores, scores**2, scores**3, scores**4] * 2))
        assert all(one == found[0] for one in found)
        assert Evaluations(workspace).list() == [found[0]]
        assert Evaluations(workspace).list("run_2") == []
    finally:
        workspace.close()


def test_checking_data_keeps_the_verdicts(workspace, write, clock):
    service = Evaluations(workspace)
    good = service.check_data("eval_a", write(), "rows@v1", write(name="old"))
    assert (good.outcome, good.kind, good.subject) == ("pass", "data", "rows@v1")
    assert {verdict.check for verdict in good.verdicts} == {"schema", "min_rows", "nulls", "null_increase"}
    clock.at += timedelta(days=1)
    bad = service.check_data("eval_b", write(rows=50), "rows@v2")
    assert bad.outcome == "fail"
    assert service.get("eval_a") == good
    assert service.list() == [bad, good]
    assert service.list("rows@v1") == [good]


def test_checking_again_reads_nothing(workspace, write, tmp_path):
    service = Evaluations(workspace)
    first = service.check_data("eval_a", write(), "rows@v1")
    assert service.check_data("eval_a", tmp_path / "gone.parquet", "rows@v1") == first


@pytest.mark.parametrize("spoil", ["nan", "inf", "range", "short", "one class"])
def test_a_refused_evaluation_leaves_nothing(scored, workspace, spoil):
    service, holdout, scores = scored
    bad = scores[:-1] if spoil == "short" else scores.copy()
    if spoil in {"nan", "inf", "range"}:
        bad[7] = {"nan": np.nan, "inf": np.inf, "range": 1.5}[spoil]
    if spoil == "one class":
        holdout.labels[:] = 1
    with pytest.raises(InvalidInput):
        service.judge("eval_1", subject="run_1", holdout=holdout, candidate=bad, production=scores)
    with pytest.raises(InvalidInput):
        service.judge(
            "eval_1", subject="run_1", holdout=holdout, candidate=scores, production=bad, replicas=[bad]
        )
    assert service.list() == []


def test_a_failed_read_leaves_nothing(workspace, tmp_path):
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(CorruptData):
        Evaluations(workspace).check_data("eval_a", path, "rows@v1")
    assert Evaluations(workspace).list() == []


def test_a_metric_of_another_task_is_refused(configure, write):
    workspace = configure(performance={"metric": "mae"})
    service = Evaluations(workspace)
    with pytest.raises(ConfigError, match="take one of roc_auc"):
        service.measure(service.load_holdout(write()), np.zeros(400))


def test_an_unknown_identity_is_answered_with_the_nearest(scored):
    service, holdout, scores = scored
    service.judge("eval_cyc_model", subject="run_1", holdout=holdout, candidate=scores)
    with pytest.raises(NotFound, match="did you mean 'eval_cyc_model'"):
        service.get("eval_cyc_modle")
