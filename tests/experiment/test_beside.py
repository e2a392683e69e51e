"""What is kept beside a run: its origin, its inputs, its writers, what its files show; on each store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.experiment import (
    Experiments,
    JournalBatch,
    LogArtifact,
    LogInput,
    LogMetrics,
    LogParams,
    LogProvenance,
    LogTags,
    MediaInfo,
    NewRun,
    Provenance,
    RunInput,
    joined,
    tags_of,
)
from treadle.experiment.told import told_by
from treadle.experiment.types import Finish
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.origin.machine import Hardware
from treadle.kernel.origin.nvml import Gpu
from treadle.kernel.workspace import Workspace

AT = datetime(2026, 3, 1, tzinfo=UTC)
ROWS = RunInput(name="rows", digest="d" * 64, source_type="treadle", source="{}", context="training")


@pytest.fixture
def opened(tmp_path: Path, metadata_url: str) -> Iterator[Workspace]:
    (tmp_path / "treadle.toml").write_text(f'[project]\nname = "t"\n[store]\nmetadata = "{metadata_url}"\n')
    workspace = Workspace.open(tmp_path)
    yield workspace
    workspace.close()


@pytest.fixture
def runs(opened: Workspace) -> Experiments:
    return Experiments(opened)


def begin(runs: Experiments, **more) -> None:
    runs.create(NewRun(id="run_1", name="a", started_at=AT, **more))


def test_what_a_run_comes_from_grows_and_is_read_only_with_the_run(runs):
    begin(runs, provenance=Provenance(host="here", command=("python", "a.py")), inputs=(ROWS,))
    more = LogProvenance(Provenance(commit="abc", dirty=False, problems=("environment: none",)))
    used = LogInput(RunInput(name="extra", digest="1", source_type="local", source="x.csv"))
    batch = JournalBatch(0, [more, used, LogInput(ROWS)])
    assert runs.apply("run_1", batch).applied == 3
    assert runs.apply("run_1", batch).applied == 3
    run = runs.get("run_1")
    assert run.provenance == Provenance(
        host="here", command=("python", "a.py"), commit="abc", dirty=False, problems=("environment: none",)
    )
    assert sorted(used.name for used in run.inputs) == ["extra", "rows"]
    assert [(one.provenance, one.inputs) for one in runs.list()] == [(None, ())]
    begin(runs, provenance=Provenance(host="elsewhere"))
    assert runs.get("run_1").provenance.host == "here", "starting twice is starting once"


def test_each_writer_is_counted_by_itself(runs):
    begin(runs, params={"lr": 0.1})
    one = JournalBatch(0, [LogMetrics(1.0, {"a": 1.0}), LogMetrics(2.0, {"a": 2.0})])
    two = JournalBatch(0, [LogMetrics(3.0, {"a": 3.0}), LogTags({"t": "v"})], "rank1")
    for batch in (one, two, one, two):
        assert runs.apply("run_1", batch).applied == 2
    assert runs.get("run_1").applied == 2
    assert [p.value for p in runs.history("run_1", "a")] == [1.0, 2.0, 3.0]
    assert runs.apply("run_1", JournalBatch(0, [], "rank1")).applied == 2
    assert runs.apply("run_1", JournalBatch(0, [], "rank2")).applied == 0
    with pytest.raises(Conflict, match="begins at record 5, but only 2"):
        runs.apply("run_1", JournalBatch(5, [LogTags({"t": "v"})], "rank1"))
    with pytest.raises(InvalidInput, match="can't be the name of a writer"):
        runs.apply("run_1", JournalBatch(0, [], "../x"))
    assert runs.apply("run_1", JournalBatch(2, [Finish(9.0, "finished")])).status == "finished"
    late = runs.apply("run_1", JournalBatch(2, [LogMetrics(4.0, {"late": 1.0})], "rank1"))
    assert (late.status, late.metrics["late"]) == ("finished", 1.0)


def test_a_parameter_that_two_writers_set_keeps_its_first_value(runs):
    begin(runs, params={"lr": 0.1})
    runs.apply("run_1", JournalBatch(0, [LogParams({"lr": 0.1, "rank": 1, "deep": True})], "rank1"))
    runs.apply("run_1", JournalBatch(0, [LogParams({"rank": 2, "deep": True, "own": "x"})], "rank2"))
    run = runs.get("run_1")
    assert run.params == {"lr": 0.1, "rank": 1, "deep": True, "own": "x"}
    assert run.tags == {"rank2/rank": "2"}
    # The one that began it may tell late as well.
    assert runs.apply("run_1", JournalBatch(0, [LogParams({"rank": 0})])).tags["main/rank"] == "0"
    assert runs.get("run_1").params["rank"] == 1


def test_a_parameter_of_one_writer_can_not_change(runs):
    begin(runs, params={"lr": 0.1})
    with pytest.raises(Conflict):
        runs.apply("run_1", JournalBatch(0, [LogParams({"lr": 0.2})]))


def test_writers_at_once_lose_nothing(runs):
    begin(runs)

    def write(number: int) -> None:
        for first in range(0, 100, 10):
            records = [
                LogMetrics(float(n), {"all": 1.0, f"m{number}": float(n)}) for n in range(first, first + 10)
            ]
            runs.apply("run_1", JournalBatch(first, records, f"rank{number}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs.history("run_1", "all")) == 400
    for number in range(4):
        assert [p.value for p in runs.history("run_1", f"m{number}")] == [float(n) for n in range(100)]


def test_what_files_show(runs, opened):
    begin(runs)
    digest = opened.blobs.put(b"png")
    info = MediaInfo("image", "samples", 3, "a cat")
    runs.apply("run_1", JournalBatch(0, [LogArtifact("media/samples/3.png", 3, digest, info)]))
    runs.apply("run_1", JournalBatch(1, [LogArtifact("plain.txt", 3, digest)]))
    (found,) = runs.media("run_1")
    assert (found.path, found.info, found.digest, found.size) == ("media/samples/3.png", info, digest, 3)
    again = LogArtifact("media/samples/3.png", 3, digest, MediaInfo("image", "samples", 3, "a dog"))
    runs.apply("run_1", JournalBatch(2, [again]))
    assert [one.info.caption for one in runs.media("run_1")] == ["a dog"]
    with pytest.raises(NotFound):
        runs.media("run_none")
    for wrong in (
        MediaInfo("image", "", 3),
        MediaInfo("image", "a", 3, "x" * 1001),
        MediaInfo("image", "a", 2**63),
    ):
        with pytest.raises(InvalidInput):
            runs.apply("run_1", JournalBatch(3, [LogArtifact("x.png", 3, digest, wrong)]))
    with pytest.raises(InvalidInput, match="digest of dataset"):
        runs.apply(
            "run_1", JournalBatch(3, [LogInput(RunInput(name="a", digest="", source_type="", source=""))])
        )


WHOLE = Provenance(
    command=("python", "a b.py", "--x=$y"),
    notebook="n.ipynb",
    folder="sub",
    commit="c" * 40,
    branch="main",
    repository="https://example.com/a",
    dirty=True,
    patch="p",
    lock="l",
    environment="e" * 64,
    packages=12,
    python="CPython 3.11",
    platform="Linux",
    host="h",
    hardware=Hardware(cpu="c", cores=2, memory=3, gpus=(Gpu(name="g", memory=4, driver="d"),)),
    parent="run_0",
    trigger="t",
    problems=("one", "two"),
)


def test_tags_tell_all_of_it_back():
    assert set(WHOLE.__struct_fields__) == {f for f in WHOLE.__struct_fields__ if getattr(WHOLE, f)}
    back = told_by(tags_of(WHOLE))
    assert back == joined(WHOLE, None).__class__(
        **{f: getattr(WHOLE, f) for f in WHOLE.__struct_fields__ if f != "problems"}, problems=("one; two",)
    )


def test_mlflow_s_own_tags_tell_what_they_can():
    told = told_by(
        {
            "mlflow.source.git.commit": "abc",
            "mlflow.source.git.repoURL": "https://me:pw@example.com/a",
            "mlflow.source.name": "train.py",
            "mlflow.source.type": "LOCAL",
            "mlflow.parentRunId": "p",
        }
    )
    assert told == Provenance(
        commit="abc", repository="https://example.com/a", command=("train.py",), parent="p"
    )
    notebook = {"mlflow.source.name": "a.ipynb", "mlflow.source.type": "NOTEBOOK"}
    assert told_by(notebook).notebook == "a.ipynb"
    assert told_by({"team": "x"}) is None


@given(
    st.dictionaries(st.sampled_from([*tags_of(WHOLE), "mlflow.source.name", "mlflow.parentRunId"]), st.text())
)
def test_no_tags_break_the_telling(tags: dict[str, str]) -> None:
    told_by(tags)


def test_what_is_known_is_joined_without_forgetting():
    assert joined(None, None) is None
    assert joined(WHOLE, Provenance()) == WHOLE
    assert joined(Provenance(), WHOLE) == WHOLE
    assert joined(Provenance(host="a", dirty=True), Provenance(dirty=False)).dirty is False
