"""Experiments and runs as logging clients write them, on each metadata store."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from treadle.experiment import Experiments, MetricWriter, Tracking
from treadle.experiment.types import DEFAULT_ID, RunInput, Sample
from treadle.kernel.errors import AlreadyExists, InvalidInput, NotFound
from treadle.kernel.workspace import Workspace


@pytest.fixture
def opened(tmp_path: Path, metadata_url: str) -> Iterator[Workspace]:
    (tmp_path / "treadle.toml").write_text(f'[project]\nname = "t"\n[store]\nmetadata = "{metadata_url}"\n')
    workspace = Workspace.open(tmp_path)
    yield workspace
    workspace.close()


@pytest.fixture
def tracking(opened: Workspace) -> Iterator[Tracking]:
    writer = MetricWriter(opened.database)
    yield Tracking(opened, writer)
    writer.close()


def test_the_default_experiment_is_there_and_stays(tracking):
    found = tracking.experiment(DEFAULT_ID)
    assert (found.name, found.lifecycle, found.artifacts) == ("Default", "active", "mlflow-artifacts:/0")
    with pytest.raises(InvalidInput, match="default"):
        tracking.delete_experiment(DEFAULT_ID)


def test_an_experiment_lives_its_life(tracking):
    made = tracking.create_experiment("/Users/ada/search 1", {"team": "forecast"})
    assert made.id == "1"
    assert tracking.experiment_named("/Users/ada/search 1") == made
    with pytest.raises(AlreadyExists, match="already"):
        tracking.create_experiment("/Users/ada/search 1")
    tracking.tag_experiment("1", "mlflow.note.content", "x" * 20_000)
    tracking.untag_experiment("1", "team")
    with pytest.raises(NotFound, match="No tag with name: team"):
        tracking.untag_experiment("1", "team")
    run = tracking.create_run("1").result(10).run.id
    tracking.delete_experiment("1")
    assert tracking.run(run).run.lifecycle == "deleted"
    for attempt in (
        lambda: tracking.create_run("1").result(10),
        lambda: tracking.rename_experiment("1", "other"),
        lambda: tracking.tag_experiment("1", "a", "b"),
    ):
        with pytest.raises(InvalidInput, match="deleted"):
            attempt()
    with pytest.raises(AlreadyExists, match="deleted"):
        tracking.create_experiment("/Users/ada/search 1")
    tracking.restore_experiment("1")
    assert tracking.run(run).run.lifecycle == "active"
    tracking.rename_experiment("1", "search")
    with pytest.raises(AlreadyExists):
        tracking.rename_experiment("1", "Default")
    changed = tracking.experiment("1")
    assert (changed.name, changed.tags.keys()) == ("search", {"mlflow.note.content"})
    assert changed.updated_at > changed.created_at
    for missing in (lambda: tracking.experiment("77"), lambda: tracking.experiment_named("nobody")):
        with pytest.raises(NotFound):
            missing()


def test_one_of_fifty_gets_the_name(tracking):
    barrier, made, refused = threading.Barrier(50), [], []

    def work() -> None:
        barrier.wait()
        try:
            made.append(tracking.create_experiment("contested").id)
        except AlreadyExists as error:
            refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (made, len(refused)) == (["1"], 49)


def test_a_run_keeps_what_it_is_told(tracking, opened):
    started = datetime(2026, 5, 1, 12, tzinfo=UTC)
    run = tracking.create_run(name="tight", user="ada", started_at=started, tags={"a": "1"}).result(10).run.id
    tracking.log_batch(
        run,
        [Sample("loss", 0.5, 1_000_000, 0), Sample("loss", math.nan, 2_000_000, 1)],
        params={"lr": "0.1", "note": "x" * 7000},
        tags={"a": "2", "b": "y" * 9000},
    )
    tracking.log_metrics(run, [Sample("loss", 0.25, 3_000_000, 2)]).result(10)
    tracking.log_inputs(
        run, [RunInput(name="flights", digest="d1", source_type="local", source="{}", context="training")]
    )
    ended = tracking.update_run(run, status="finished", name="renamed")
    found = tracking.run(run)
    assert ended.run == found.run
    assert (found.run.name, found.run.user, found.run.started_at) == ("renamed", "ada", started)
    assert found.run.status == "finished"
    assert found.run.ended_at is not None
    assert found.run.params["lr"] == "0.1"
    assert [len(str(found.run.params["note"])), len(found.run.tags["b"])] == [6000, 8000]
    assert (found.run.tags["a"], found.run.tags["mlflow.runName"]) == ("2", "renamed")
    assert found.latest == (Sample("loss", 0.25, 3_000_000, 2),)
    assert [(one.name, one.context) for one in found.inputs] == [("flights", "training")]
    curve = tracking.curve(run, "loss")
    assert curve.steps.tolist() == [0, 1, 2]
    assert math.isnan(curve.values[1])
    assert len(tracking.curve(run, "nothing")) == 0
    # The same run, by the other way in.
    assert Experiments(opened).get(run).metrics == {"loss": 0.25}


def test_a_batch_is_kept_whole_or_not_at_all(tracking):
    run = tracking.create_run().result(10).run.id
    tracking.log_batch(run, params={"depth": "3"})
    tracking.log_batch(run, params={"depth": "3"})
    for batch in (
        {"params": {"new": "1", "depth": "4"}, "tags": {"t": "1"}, "samples": [Sample("m", 1.0, 0, 0)]},
        {"params": {"new": "1"}, "tags": {"/bad": "1"}, "samples": [Sample("m", 1.0, 0, 0)]},
        {"samples": [Sample("m", 1.0, 0, 0), Sample("a/../b", 1.0, 0, 0)]},
        {"params": {f"p{i}": "" for i in range(101)}},
        {"samples": [Sample("m", 1.0, i, i) for i in range(1001)]},
        {"samples": [Sample("m", 1.0, i, i) for i in range(950)], "tags": {f"t{i}": "" for i in range(51)}},
    ):
        with pytest.raises(InvalidInput):
            tracking.log_batch(run, **batch)
    found = tracking.run(run)
    assert (found.run.params, found.latest) == ({"depth": "3"}, ())
    assert found.run.tags.keys() == {"mlflow.runName"}
    assert len(tracking.curve(run, "m")) == 0


def test_a_deleted_run_takes_nothing_until_it_is_restored(tracking):
    run = tracking.create_run().result(10).run.id
    tracking.delete_run(run)
    tracking.delete_run(run)
    for attempt in (
        lambda: tracking.log_batch(run, params={"a": "1"}),
        lambda: tracking.update_run(run, status="failed"),
        lambda: tracking.delete_tag(run, "mlflow.runName"),
        lambda: tracking.log_inputs(run, []),
    ):
        with pytest.raises(InvalidInput, match="deleted"):
            attempt()
    tracking.restore_run(run)
    tracking.log_batch(run, params={"a": "1"}, tags={"t": "1"})
    tracking.delete_tag(run, "t")
    with pytest.raises(NotFound, match="No tag with name: t"):
        tracking.delete_tag(run, "t")


@pytest.mark.parametrize("name", ["", "x" * 251, "a//b", "../a", "/a", "a\n", "semi;colon", ".", "a/./b"])
def test_names_that_are_no_names(name, tracking):
    run = tracking.create_run().result(10).run.id
    for attempt in (
        lambda: tracking.log_metrics(run, [Sample(name, 1.0, 0, 0)]),
        lambda: tracking.log_batch(run, params={name: "1"}),
        lambda: tracking.log_batch(run, tags={name: "1"}),
    ):
        with pytest.raises(InvalidInput, match=r"can't be the name|has 1 to 250"):
            attempt()


@pytest.mark.parametrize("run", ["nobody", "../../etc", "", "a" * 300])
def test_runs_that_are_not_there(run, tracking):
    for attempt in (
        lambda: tracking.run(run),
        lambda: tracking.log_batch(run, params={"a": "1"}),
        lambda: tracking.log_metrics(run, [Sample("m", 1.0, 0, 0)]).result(10),
        lambda: tracking.curve(run, "m"),
        lambda: tracking.delete_run(run),
    ):
        with pytest.raises((NotFound, InvalidInput)):
            attempt()


def test_two_names_for_one_run_are_refused(tracking):
    with pytest.raises(InvalidInput, match=r"mlflow\.runName"):
        tracking.create_run(name="a", tags={"mlflow.runName": "b"})
    assert tracking.create_run(tags={"mlflow.runName": "b"}).result(10).run.name == "b"
    assert tracking.create_run().result(10).run.name.count("-") == 2


def test_parameters_of_a_run_written_by_many_never_change(tracking):
    run = tracking.create_run().result(10).run.id
    outcomes = []

    def work(number: int) -> None:
        try:
            tracking.log_batch(run, params={"winner": str(number)})
            outcomes.append(number)
        except InvalidInput:
            pass

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [tracking.run(run).run.params["winner"]] == [str(n) for n in outcomes]


def test_the_datasets_of_a_run_stay_in_their_order_and_as_they_were_first(tracking):
    home = tracking.create_experiment("inputs").id
    run, other = (tracking.create_run(home).result(10).run.id for _ in range(2))
    first, second = (RunInput(name="d", digest=d, source_type="local", source="1") for d in "zy")
    used = RunInput(name="a", digest="x", source_type="local", source="1", context="training")
    tracking.log_inputs(run, [first, second])
    tracking.log_inputs(run, [RunInput(name="d", digest="z", source_type="s3", source="2"), used])
    assert list(tracking.run(run).inputs) == [first, second, used]
    tracking.log_inputs(other, [used])
    assert [(one.name, one.digest, one.context) for one in tracking.datasets([home])] == [
        ("a", "x", "training"),
        ("d", "y", ""),
        ("d", "z", ""),
    ]
    assert tracking.datasets(["0"]) == []
