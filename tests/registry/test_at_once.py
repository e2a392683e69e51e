"""Two who change a model at once, on SQLite and on Postgres: one wins, the other is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import msgspec
import pytest

from meanwhile import meanwhile
from retrain.together import together
from treadle.data.types import DataInput, SliceSpec
from treadle.experiment import LoggedModels
from treadle.kernel.errors import Conflict, NotFound, TreadleError
from treadle.kernel.workspace import Workspace
from treadle.registry import (
    Approvals,
    Cards,
    Catalog,
    Field,
    ModelFile,
    NewCatalogVersion,
    NewVersion,
    Registry,
    catalog_store,
)
from treadle.registry import catalog as catalog_module
from treadle.registry import store as registry_store
from treadle.registry.card.types import CardTexts, NewCardText
from treadle.registry.catalog_import import import_model
from treadle.registry.catalog_types import CatalogModel, ImportCatalogModel
from treadle.registry.openlineage import store as lineage_store
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


@pytest.mark.postgres
def test_of_a_run_registered_as_two_models_one_wins(on_postgres, monkeypatch):
    registry = Registry(on_postgres)
    as_wine = msgspec.structs.replace(new(on_postgres, "c" * 32), model="wine")
    other = meanwhile(
        monkeypatch, on_postgres.database, registry_store, "add_version", lambda: registry.register(as_wine)
    )
    with pytest.raises(Conflict, match="is registered as wine/1"):
        registry.register(new(on_postgres, "c" * 32))
    assert other.result(10).ref == "wine/1"
    assert registry.models() == ["wine"]


@pytest.mark.postgres
@pytest.mark.parametrize("by", ["register", "import"])
def test_a_model_is_deleted_while_a_version_comes(on_postgres, monkeypatch, by):
    registry, catalog = Registry(on_postgres), Catalog(on_postgres)
    catalog.create_model("toy")
    other = meanwhile(
        monkeypatch, on_postgres.database, catalog_store, "lock_model", lambda: catalog.delete_model("toy")
    )
    if by == "register":
        assert registry.register(new(on_postgres, "c" * 32)).ref == "toy/1"
    else:
        at = datetime(2026, 3, 1, tzinfo=UTC)
        model = CatalogModel(name="toy", created_at=at, updated_at=at)
        assert import_model(on_postgres, ImportCatalogModel(model=model)).name == "toy"
    other.result(10)
    assert registry.models() == ["toy"]


@pytest.mark.postgres
def test_a_logged_model_tells_of_both_that_it_became(on_postgres, monkeypatch):
    catalog, logged = Catalog(on_postgres), LoggedModels(on_postgres)
    made = logged.create("0", name="m")
    for name in ("wine", "beer"):
        catalog.create_model(name)

    def register(name: str) -> object:
        source = f"models:/{made.id}"
        return catalog.create_version(NewCatalogVersion(model=name, source=source, logged_model=made.id))

    other = meanwhile(
        monkeypatch, on_postgres.database, catalog_module, "tag_logged_model", lambda: register("beer")
    )
    register("wine")
    other.result(10)
    told = json.loads(logged.get(made.id).tags["mlflow.modelVersions"])
    assert sorted(one["name"] for one in told) == ["beer", "wine"]


@pytest.mark.postgres
def test_a_version_is_deleted_while_it_is_approved(on_postgres, monkeypatch):
    catalog = Catalog(on_postgres)
    catalog.create_model("wine")
    catalog.create_version(NewCatalogVersion(model="wine", source="s3://bucket/m"))
    other = meanwhile(
        monkeypatch,
        on_postgres.database,
        catalog_store,
        "lock_model",
        lambda: catalog.delete_version("wine", "1"),
    )
    with pytest.raises(NotFound):
        Approvals(on_postgres).add("wine/1", "ann", "fine", "pass")
    other.result(10)


@pytest.mark.postgres
def test_two_servers_tell_of_a_run_at_once(on_postgres, monkeypatch):
    at = datetime(2026, 3, 1, tzinfo=UTC)

    def tell() -> None:
        with on_postgres.database.write() as connection:
            lineage_store.tell(connection, "run", "a", "finished", at)

    told = SimpleNamespace(now=lambda: None)
    other = meanwhile(monkeypatch, on_postgres.database, told, "now", tell)
    with on_postgres.database.write() as connection:
        lineage_store.tell(connection, "run", "a", "running", at)
        told.now()
    other.result(10)


@pytest.mark.postgres
def test_a_model_is_deleted_while_its_card_is_written(on_postgres, monkeypatch):
    catalog = Catalog(on_postgres)
    catalog.create_model("wine")
    catalog.create_version(NewCatalogVersion(model="wine", source="s3://bucket/m"))
    other = meanwhile(
        monkeypatch, on_postgres.database, catalog_store, "lock_model", lambda: catalog.delete_model("wine")
    )
    part = NewCardText(section="limits", text="For wine.")
    with pytest.raises(NotFound):
        Cards(on_postgres).write(CardTexts(model="wine", parts=(part,), actor="ann"))
    other.result(10)
