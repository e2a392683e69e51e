"""Two who change a model at once, on SQLite and on Postgres: one wins, the other is told."""

from __future__ import annotations

import pytest

from retrain.together import together
from treadle.data.types import DataInput, SliceSpec
from treadle.kernel.errors import Conflict, TreadleError
from treadle.kernel.workspace import Workspace
from treadle.registry import Approvals, Catalog, Field, ModelFile, NewCatalogVersion, NewVersion, Registry
from treadle.registry.types import Signature


def new(workspace: Workspace, run: str) -> NewVersion:
    names = ("example.json", "model.onnx", "signature.json")
    rows = SliceSpec(dataset="rows", version="d" * 64)
    return NewVersion(
        model="toy",
        run=run,
        recipe="r_1",
        code="c" * 64,
        environment="f" * 64,
        seed=0,
        data=(DataInput(role="train", spec=rows, number=1, digest="e" * 64, rows=9),),
        params={"depth": 3},
        metrics={"roc_auc": 0.7},
        signature=Signature((Field("hour", "float"),), "probability"),
        files=tuple(ModelFile(name, workspace.blobs.put(name.encode()), len(name)) for name in names),
        evaluations=("ev_1",),
        profile=workspace.blobs.put(b"{}"),
        serve={"port": "8100"},
    )


@pytest.fixture
def registry(opened: Workspace) -> Registry:
    made = Registry(opened)
    for letter in "ab":
        made.register(new(opened, letter * 32))
    return made


def test_both_doors_count_by_one_counter(opened, registry):
    catalog = Catalog(opened)
    asked = NewCatalogVersion(model="toy", source="s3://bucket/m")
    found = together(
        *(lambda run=run: registry.register(new(opened, run)) for run in ("c" * 32, "d" * 32)),
        *(lambda: catalog.create_version(asked) for _ in range(4)),
    )
    assert sorted(one.number for one in found) == list(range(3, 9))
    assert len(registry.list("toy")) == len(catalog.search_versions().versions) == 8
    assert len(registry.history("toy")) == 8


def test_of_two_promotions_one_wins_and_the_other_is_told(registry):
    found = together(
        *(
            lambda n=n: registry.promote("toy", n, "ann", "x", f"p{n}", outcome="pass", expect=0)
            for n in (1, 2)
        )
    )
    [lost] = [one for one in found if isinstance(one, TreadleError)]
    assert isinstance(lost, Conflict)
    assert "is in production by now, not nothing" in str(lost)
    assert sorted(one.status for one in registry.list("toy")) == ["candidate", "production"]


def test_a_promotion_and_an_mlflow_client_at_once(opened, registry):
    catalog = Catalog(opened)
    free = catalog.create_version(NewCatalogVersion(model="toy", source="s3://bucket/m"))
    found = together(
        lambda: registry.promote("toy", 1, "ann", "x", "p1", outcome="pass"),
        lambda: catalog.move_version("toy", str(free.number), "Production"),
        lambda: registry.promote("toy", 2, "ann", "x", "p2", outcome="pass"),
    )
    assert not [one for one in found if isinstance(one, TreadleError)]
    live = [one for one in registry.list("toy") if one.status == "production" and one.governed]
    assert len(live) == 1
    assert registry.production("toy") == live[0]
    stages = {one.number: one.stage for one in catalog.search_versions().versions}
    assert {one.number: one.status == "production" for one in registry.list("toy")} == {
        number: stage == "Production" for number, stage in stages.items()
    }


def test_approvals_at_once_are_each_kept_once(opened, registry):
    add = Approvals(opened).add
    together(*(lambda name=name: add("toy/1", name, "ok", "pass") for name in ("ada", "ben", "ada", "ben")))
    assert sorted(one.actor for one in Approvals(opened).standing("toy/1").approvals) == ["ada", "ben"]
