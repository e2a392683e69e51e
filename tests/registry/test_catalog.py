"""The catalogue: registered models and versions, made, changed and found, on every database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from treadle.experiment import LoggedModels
from treadle.kernel.errors import AlreadyExists, InvalidInput, NotFound
from treadle.registry import catalog_store
from treadle.registry.catalog_types import NewCatalogVersion

RUN, OTHER = "a" * 32, "b" * 32


def register(catalog, model="wine", source="s3://bucket/model", **more):
    return catalog.create_version(NewCatalogVersion(model=model, source=source, **more))


# ── registered models ────────────────────────────────────────────────────


def test_a_model_is_as_it_was_made(catalog):
    made = catalog.create_model("Weiß er nicht", description="for\0 all", tags={"a": "b\0"})
    assert catalog.model(made.name) == made
    assert (made.description, made.tags, made.latest, made.aliases) == ("for all", {"a": "b"}, (), {})
    assert made.created_at == made.updated_at


def test_a_name_is_given_once_however_many_ask_at_once(catalog):
    def make(_):
        try:
            catalog.create_model("new")
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(make, range(16))) == 1


def test_a_model_that_is_not_there(catalog):
    for do in (
        lambda: catalog.model("none"),
        lambda: catalog.describe_model("none", "x"),
        lambda: catalog.rename_model("none", "other"),
        lambda: catalog.delete_model("none"),
        lambda: catalog.latest("none"),
        lambda: catalog.tag_model("none", "a", "b"),
        lambda: catalog.untag_model("none", "a"),
        lambda: catalog.delete_alias("none", "a"),
        lambda: catalog.version_of_alias("none", "a"),
        lambda: register(catalog, "none"),
    ):
        with pytest.raises(NotFound, match="Registered Model with name=none not found"):
            do()


def test_prompts_are_refused(catalog):
    tags = {"mlflow.prompt.is_prompt": "true"}
    with pytest.raises(InvalidInput, match="prompts are not offered"):
        catalog.create_model("prompt", tags=tags)
    with pytest.raises(InvalidInput, match="prompts are not offered"):
        register(catalog, tags=tags)
    with pytest.raises(InvalidInput, match="prompts are not offered"):
        catalog.tag_model("wine", "mlflow.prompt.is_prompt", "true")


def test_renaming_takes_everything_along(catalog):
    register(catalog, tags={"a": "b"})
    catalog.set_alias("wine", "champion", "1")
    catalog.tag_model("wine", "t", "v")
    assert catalog.rename_model("wine", "port").name == "port"
    found = catalog.version("port", "1")
    assert (found.tags, found.aliases) == ({"a": "b"}, ("champion",))
    assert catalog.model("port").tags == {"t": "v"}
    assert catalog.model("port").aliases == {"champion": 1}
    with pytest.raises(NotFound):
        catalog.version("wine", "1")
    catalog.create_model("wine")
    with pytest.raises(AlreadyExists, match=r"Registered Model \(name=wine\) already exists"):
        catalog.rename_model("port", "wine")
    assert catalog.model("port").tags == {"t": "v"}


def test_deleting_a_model_deletes_all_that_it_has(opened, catalog):
    register(catalog, tags={"a": "b"})
    catalog.set_alias("wine", "champion", "1")
    catalog.tag_model("wine", "t", "v")
    catalog.delete_model("wine")
    with opened.database.read() as connection:
        for table in (
            catalog_store.versions,
            catalog_store.model_tags,
            catalog_store.version_tags,
            catalog_store.aliases,
        ):
            assert connection.execute(table.select()).all() == []
    assert register_again(catalog).number == 1


def register_again(catalog):
    catalog.create_model("wine")
    return register(catalog)


def test_tags_are_replaced_and_taken_away(catalog):
    register(catalog)
    catalog.tag_model("wine", "a", "1")
    catalog.tag_model("wine", "a", "2")
    catalog.tag_version("wine", "1", "a", "3")
    catalog.tag_version("wine", "1", "a", "4")
    assert (catalog.model("wine").tags, catalog.version("wine", "1").tags) == ({"a": "2"}, {"a": "4"})
    catalog.untag_model("wine", "a")
    catalog.untag_version("wine", "1", "a")
    catalog.untag_model("wine", "a")
    catalog.untag_version("wine", "1", "a")
    assert (catalog.model("wine").tags, catalog.version("wine", "1").tags) == ({}, {})


@pytest.mark.parametrize(("key", "value"), [("", "x"), ("../a", "x"), ("k" * 251, "x"), ("k", "x" * 100_001)])
def test_a_tag_that_can_not_be_one(catalog, key, value):
    register(catalog)
    with pytest.raises(InvalidInput):
        catalog.tag_model("wine", key, value)
    with pytest.raises(InvalidInput):
        catalog.tag_version("wine", "1", key, value)


# ── versions ─────────────────────────────────────────────────────────────


def test_versions_are_numbered_and_no_number_is_given_twice(catalog):
    assert [register(catalog).number for _ in range(3)] == [1, 2, 3]
    catalog.delete_version("wine", "3")
    assert register(catalog).number == 4
    with pytest.raises(NotFound, match="name=wine, version=3"):
        catalog.version("wine", "3")


def test_versions_made_at_once_have_numbers_of_their_own(catalog):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: register(catalog).number, range(16)))
    assert sorted(made) == list(range(1, 17))


def test_a_version_is_as_it_was_made(catalog):
    made = register(catalog, run=RUN, run_link="http://x", description="d", tags={"a": "b"})
    assert catalog.version("wine", "1") == made
    assert (made.stage, made.run, made.run_link, made.storage) == (
        "None",
        RUN,
        "http://x",
        "s3://bucket/model",
    )
    assert catalog.model("wine").updated_at == made.created_at
    assert catalog.describe_version("wine", "1", "e").description == "e"


@pytest.mark.parametrize("number", ["0", "-1", "7", "9" * 15])
def test_a_version_that_is_not_there(catalog, number):
    register(catalog)
    for do in (
        lambda: catalog.version("wine", number),
        lambda: catalog.describe_version("wine", number, "x"),
        lambda: catalog.move_version("wine", number, "Staging"),
        lambda: catalog.delete_version("wine", number),
        lambda: catalog.tag_version("wine", number, "a", "b"),
        lambda: catalog.untag_version("wine", number, "a"),
        lambda: catalog.set_alias("wine", "a", number),
    ):
        with pytest.raises(NotFound, match=r"Model Version \(name=.*not found"):
            do()


def test_the_newest_of_each_stage_is_the_latest(catalog):
    for _ in range(4):
        register(catalog)
    catalog.move_version("wine", "1", "production")
    catalog.move_version("wine", "2", "PRODUCTION")
    catalog.move_version("wine", "3", "Staging")
    assert [(v.number, v.stage) for v in catalog.model("wine").latest] == [
        (2, "Production"),
        (3, "Staging"),
        (4, "None"),
    ]
    assert [v.number for v in catalog.latest("wine", ["production", "none"])] == [2, 4]
    with pytest.raises(InvalidInput, match="is no stage"):
        catalog.latest("wine", ["Deleted_Internal"])


def test_a_version_sends_the_others_of_its_stage_to_the_archive(catalog):
    for _ in range(3):
        register(catalog)
    catalog.move_version("wine", "1", "Production")
    catalog.move_version("wine", "2", "Production")
    catalog.move_version("wine", "3", "Production", archive=True)
    assert [catalog.version("wine", n).stage for n in "123"] == ["Archived", "Archived", "Production"]
    catalog.move_version("wine", "3", "Production", archive=True)
    assert catalog.version("wine", "3").stage == "Production"
    with pytest.raises(InvalidInput, match="nothing is archived"):
        catalog.move_version("wine", "3", "Archived", archive=True)


def test_an_alias_names_one_version(catalog):
    register(catalog)
    register(catalog)
    catalog.set_alias("wine", "champion", "1")
    catalog.set_alias("wine", "champion", "2")
    catalog.set_alias("wine", "best", "2")
    assert catalog.version_of_alias("wine", "champion").number == 2
    assert catalog.version("wine", "2").aliases == ("best", "champion")
    assert catalog.model("wine").aliases == {"best": 2, "champion": 2}
    catalog.delete_version("wine", "2")
    assert catalog.model("wine").aliases == {}
    with pytest.raises(InvalidInput, match="Registered model alias champion not found"):
        catalog.version_of_alias("wine", "champion")
    catalog.delete_alias("wine", "champion")


def test_production_is_an_alias_of_what_is_there(catalog):
    register(catalog)
    register(catalog)
    register(catalog)
    with pytest.raises(InvalidInput, match="alias production not found"):
        catalog.version_of_alias("wine", "production")
    for number in "12":
        catalog.move_version("wine", number, "Production", archive=False)
    assert catalog.version_of_alias("wine", "production").number == 2
    catalog.set_alias("wine", "production", "3")
    assert catalog.version_of_alias("wine", "production").number == 3


def test_latest_is_the_highest_number(catalog):
    with pytest.raises(NotFound, match="has no version yet"):
        catalog.version_of_alias("wine", "latest")
    register(catalog)
    register(catalog)
    catalog.move_version("wine", "1", "Production")
    assert catalog.version_of_alias("wine", "Latest").number == 2


# ── where versions come from ─────────────────────────────────────────────


@pytest.mark.parametrize(
    "source",
    [
        "s3://bucket/a/b",
        f"runs:/{RUN}/model",
        f"mlflow-artifacts:/0/{RUN}/artifacts/model",
        f"mlflow-artifacts://host:80/0/{RUN}/artifacts",
        f"http://h/api/2.0/mlflow-artifacts/artifacts/0/{RUN}/artifacts",
    ],
)
def test_a_source_is_handed_back_as_it_came(catalog, source):
    made = register(catalog, source=source, run=RUN)
    assert (made.source, made.storage, made.run) == (source, source, RUN)


@pytest.mark.parametrize(
    ("source", "run"),
    [
        (f"runs:/{RUN}/model", None),
        (f"runs:/{RUN}/model", OTHER),
        (f"mlflow-artifacts:/0/{RUN}/artifacts/model", None),
        (f"mlflow-artifacts:/0/{RUN}/artifacts/model", OTHER),
        (f"mlflow-artifacts:/0/{RUN}/artifactsX", RUN),
        (f"mlflow-artifacts:/0/{RUN}", RUN),
        ("mlflow-artifacts:/0/none/artifacts/model", "none"),
        (f"http://h/api/2.0/mlflow-artifacts/artifacts/0/{OTHER}/artifacts/a", RUN),
    ],
)
def test_a_source_of_another_run_is_refused(catalog, source, run):
    with pytest.raises(InvalidInput, match="is not among the files"):
        register(catalog, source=source, run=run)


def test_a_logged_model_is_registered_with_its_run_and_files(opened, catalog):
    logged = LoggedModels(opened)
    model, other = logged.create("0", run=RUN, tags={"mlflow.modelVersions": "junk"}), logged.create("0")
    made = register(catalog, source=f"models:/{model.id}", logged_model=model.id)
    assert (made.storage, made.run, made.logged_model) == (model.artifacts, RUN, model.id)
    kept = f"{model.artifacts}/sub"
    assert register(catalog, source=kept, logged_model=model.id).storage == kept
    entries = msgspec.json.decode(logged.get(model.id).tags["mlflow.modelVersions"])
    assert entries == [{"name": "wine", "version": 1}, {"name": "wine", "version": 2}]
    for source, said in (
        (f"models:/{model.id}", None),
        (f"models:/{model.id}", other.id),
        (f"{model.artifacts}/sub", other.id),
        (f"runs:/{RUN}/a", model.id),
    ):
        with pytest.raises(InvalidInput, match="is not among the files"):
            register(catalog, source=source, logged_model=said)
    for gone in ("m-none", other.id):
        logged.delete(other.id)
        with pytest.raises(NotFound, match=r"Logged model with ID .* not found"):
            register(catalog, source=f"models:/{gone}", logged_model=gone)


@pytest.mark.parametrize(
    "source", ["models:/wine/1", "models:/wine@best", "models:/wine/production", "models:/wine/latest"]
)
def test_a_version_can_be_a_copy_of_another(catalog, source):
    first = register(catalog, run=RUN)
    catalog.set_alias("wine", "best", "1")
    catalog.move_version("wine", "1", "Production")
    catalog.create_model("port")
    made = register(catalog, "port", source)
    assert (made.source, made.storage, made.run) == ("models:/wine/1", first.storage, RUN)
    with pytest.raises(InvalidInput, match="not of that run"):
        register(catalog, "port", source, run=OTHER)


@pytest.mark.parametrize("source", ["models:/wine/2", "models:/none/1", "models:/wine/Staging"])
def test_a_copy_of_what_is_not_there(catalog, source):
    register(catalog)
    with pytest.raises(NotFound):
        register(catalog, source=source)


@pytest.mark.parametrize("source", ["/etc/passwd", "file:///etc/passwd", "s3://bucket/%2e%2e/a"])
def test_a_path_of_the_server_is_refused_and_nothing_is_kept(catalog, source):
    with pytest.raises(InvalidInput, match="Invalid model version source"):
        register(catalog, source=source, run=RUN)
    assert catalog.search_versions().versions == []


def test_bad_names_are_refused_at_every_door(catalog):
    for do in (
        catalog.create_model,
        catalog.model,
        catalog.delete_model,
        lambda name: catalog.rename_model("wine", name),
    ):
        with pytest.raises(InvalidInput, match="can't be the name of a registered model"):
            do("a/b")
    with pytest.raises(InvalidInput, match="is no version's number"):
        catalog.version("wine", "one")
    with pytest.raises(InvalidInput, match="is taken"):
        catalog.set_alias("wine", "latest", "1")
