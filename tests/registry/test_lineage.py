"""Lineage follows what versions, runs and models say of each other, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import pytest

from treadle.data import Branches, DataInput, Datasets, DatasetVersion, SliceSpec, Source
from treadle.data.tree.types import Change, Entry
from treadle.experiment import Experiments, LoggedModels, NewRun, RunInput
from treadle.experiment.types import ModelLink
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.workspace import Workspace
from treadle.registry import (
    MODEL_SOURCE,
    Catalog,
    Lineages,
    LineageStep,
    NewCatalogVersion,
    NewVersion,
    Registry,
)
from treadle.train import run_input

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """Versions and runs, made as others make them."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.branches = Branches(workspace)

    def version(self, dataset: str, content: bytes, *origin: Source, branch: str = "main") -> DatasetVersion:
        if dataset not in {one.name for one in self.branches.datasets()}:
            self.branches.create_dataset(dataset, "ada")
        entry = Entry("a", len(content), self.workspace.blobs.put(content))
        return self.branches.commit(dataset, branch, [Change("a", entry)], actor="ada", origin=origin)

    def run(self, name: str, *versions: DatasetVersion) -> str:
        used = tuple(noted(one) for one in versions)
        Experiments(self.workspace).create(NewRun(id=name, name=name, started_at=NOW, inputs=used))
        return name

    def lineage(self, ref: str, most: int = 100) -> tuple[list[str], list[str]]:
        found = Lineages(self.workspace).of(ref, most)
        return (
            [f"{one.kind} {one.id} < {one.of}" for one in found.made_of],
            [f"{one.kind} {one.id} < {one.of}" for one in found.used_by],
        )


def steps(found: Iterable[LineageStep]) -> list[str]:
    return [f"{one.kind} {one.id} < {one.of}" for one in found]


def noted(version: DatasetVersion) -> RunInput:
    spec = SliceSpec(dataset=version.dataset, version=version.digest)
    rows = DataInput(role="input", spec=spec, number=version.number, digest=version.digest, rows=0)
    return run_input(rows)


@pytest.fixture
def world(workspace: Workspace) -> World:
    return World(workspace)


def test_data_is_followed_through_steps_runs_and_models(world: World) -> None:
    raw = world.version("raw", b"1", Source("import", "s3://lake/raw", "copied"))
    clean = world.version("clean", b"2", Source("version", raw.ref, "python clean.py"))
    run = world.run("train", clean)
    world.version("scores", b"3", Source("run", run, "score.py"))
    Catalog(world.workspace).create_model("pets")
    Catalog(world.workspace).create_version(
        NewCatalogVersion(model="pets", source="runs:/train/model", run=run)
    )

    assert world.lineage("clean") == (
        ["version raw@v1 < clean@v1", "import s3://lake/raw < raw@v1"],
        ["run train < clean@v1", "model pets/1 < train", "version scores@v1 < train"],
    )
    assert world.lineage("raw@v1")[1] == [
        "version clean@v1 < raw@v1",
        "run train < clean@v1",
        "model pets/1 < train",
        "version scores@v1 < train",
    ]
    assert world.lineage("scores")[0] == [
        "run train < scores@v1",
        "version clean@v1 < train",
        "version raw@v1 < clean@v1",
        "import s3://lake/raw < raw@v1",
    ]
    found = Lineages(world.workspace).of("clean")
    assert [one.detail for one in found.made_of] == ["python clean.py", "copied"]
    assert [one.detail for one in found.used_by] == ["input, train, running", "candidate", "score.py"]


def test_a_model_is_followed_to_what_it_was_made_of_and_to_the_models_made_of_it(
    world: World, make_version: Callable[..., NewVersion]
) -> None:
    registry = Registry(world.workspace)
    rows = world.version("rows", b"2")
    base = registry.register(make_version(run=world.run("first", rows)))
    used = RunInput(
        name="toy/1", digest=base.id, source_type=MODEL_SOURCE, source="models:/toy/1", context="base model"
    )
    Experiments(world.workspace).create(NewRun(id="second", name="tune", started_at=NOW, inputs=(used,)))
    registry.register(make_version(run="second", seed=1))

    lineages = Lineages(world.workspace)
    found, later = lineages.about("toy/1"), lineages.about("toy@latest")
    assert steps(found.made_of) == ["run first < toy/1", "version rows@v1 < toy/1", "version rows@v1 < first"]
    assert [one.detail for one in found.made_of] == ["", "9 rows for train", "input"]
    assert steps(found.used_by) == ["run second < toy/1", "model toy/2 < second"]
    assert [one.detail for one in found.used_by] == ["base model, tune, running", "candidate"]
    assert steps(later.made_of)[:3] == [
        "run second < toy/2",
        "version rows@v1 < toy/2",
        "model toy/1 < second",
    ]
    assert steps(lineages.about("rows@v1").used_by)[-1] == "model toy/2 < second"
    assert lineages.about("second").used_by == found.used_by[1:]


def test_a_logged_model_that_a_run_used_is_the_version_that_it_was_registered_as(world: World) -> None:
    catalog, experiments = Catalog(world.workspace), Experiments(world.workspace)
    logged = LoggedModels(world.workspace)
    world.run("first")
    one = logged.create("0", name="net", run="first")
    world.run("second")
    logged.link("second", [ModelLink(one.id, "input")])
    assert steps(Lineages(world.workspace).about("second").made_of) == [f"logged model {one.id} < second"]
    catalog.create_model("pets")
    logged.finalize(one.id, "READY")
    catalog.create_version(NewCatalogVersion(model="pets", source=f"models:/{one.id}", logged_model=one.id))
    assert steps(Lineages(world.workspace).about("second").made_of)[0] == "model pets/1 < second"
    assert "run second < pets/1" in steps(Lineages(world.workspace).about("pets/1").used_by)
    assert experiments.get("second").inputs == ()


def test_a_name_that_is_nothing_says_what_to_write(world: World) -> None:
    with pytest.raises(NotFound, match="no model version, data version or run 'nothing@v3'") as error:
        Lineages(world.workspace).about("nothing@v3")
    assert "MODEL/NUMBER" in error.value.fix


def test_versions_of_the_same_content_are_told_apart_by_their_number(world: World) -> None:
    first = world.version("raw", b"1")
    world.version("raw", b"2")
    third = world.version("raw", b"1")
    assert first.digest == third.digest
    world.run("one", first)
    assert world.lineage("raw@v1")[1] == ["run one < raw@v1"]
    assert world.lineage("raw@v3")[1] == []


def test_a_reference_that_only_looks_alike_is_another(world: World) -> None:
    """An underscore of a name is no wildcard, and v1 isn't the beginning of v10."""
    ab = world.version("a_b", b"1")
    world.version("axb", b"1", Source("version", "a_b@v10", ""))
    world.version("c", b"1", Source("version", "axb@v1", ""))
    world.version("d", b"1", Source("note", ab.ref, ""))
    assert world.lineage("a_b@v1") == ([], [])
    assert world.lineage("axb@v1") == (["version a_b@v10 < axb@v1"], ["version c@v1 < axb@v1"])


def test_circles_end_and_many_are_cut(world: World) -> None:
    first = world.version("loop", b"1", Source("version", "loop@v2", ""))
    second = world.version("loop", b"2", Source("version", first.ref, ""))
    world.run("twice", first, second)
    made, used = world.lineage("loop@v1")
    assert made == ["version loop@v2 < loop@v1", "version loop@v1 < loop@v2"]
    assert "run twice < loop@v1" in used
    assert "run twice < loop@v2" in used
    assert len(world.lineage("loop@v1", most=1)[1]) == 1
    assert Lineages(world.workspace).of("loop@v1", 1).cut
    assert not Lineages(world.workspace).of("loop@v1", 100).cut


def test_runs_of_other_trackers_and_deleted_runs(world: World) -> None:
    version = world.version("raw", b"1")
    experiments = Experiments(world.workspace)
    theirs = RunInput(name="raw", digest=version.digest, source_type="local", source='{"uri": "x"}')
    experiments.create(NewRun(id="mlflow", name="mlflow", started_at=NOW, inputs=(theirs,)))
    assert world.lineage("raw")[1] == ["run mlflow < raw@v1"]
    assert Datasets(world.workspace).made_of("run", "mlflow") == []


def test_what_is_not_there_is_refused(world: World) -> None:
    with pytest.raises(NotFound, match="'raw' has no version yet"):
        world.lineage("raw")
    world.version("raw", b"1")
    with pytest.raises(NotFound, match="v7"):
        world.lineage("raw@v7")
    with pytest.raises(InvalidInput, match="names no dataset version"):
        world.lineage("raw@???")
