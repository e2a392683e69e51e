"""Versions that Treadle makes and those of MLflow's clients: one list, one count, one history."""

from __future__ import annotations

import pytest

from treadle.kernel.errors import Conflict
from treadle.kernel.events import timeline
from treadle.registry import Catalog, NewCatalogVersion, Registry
from treadle.registry.types import ModelVersion


@pytest.fixture
def catalog(workspace) -> Catalog:
    made = Catalog(workspace)
    made.create_model("toy")
    return made


@pytest.fixture
def registry(workspace) -> Registry:
    return Registry(workspace)


def enter(catalog: Catalog) -> int:
    return catalog.create_version(NewCatalogVersion(model="toy", source="s3://bucket/m")).number


def promote(registry: Registry, number: int) -> None:
    registry.promote("toy", number, "ann", "better", f"promote:{number}", outcome="pass")


def statuses(registry: Registry) -> dict[int, str]:
    return {one.number: one.status for one in registry.list("toy")}


def stages(catalog: Catalog) -> dict[int, str]:
    return {one.number: one.stage for one in catalog.search_versions().versions}


def test_both_doors_count_on(registry, catalog, make_version):
    assert [enter(catalog), registry.register(make_version("a")).number, enter(catalog)] == [1, 2, 3]
    assert {one.ref: one.origin for one in registry.list("toy")} == {
        "toy/3": "mlflow",
        "toy/2": "treadle",
        "toy/1": "mlflow",
    }
    entry = catalog.version("toy", "2")
    assert (entry.source, entry.run, entry.stage) == ("runs:/a/model", "a", "None")
    assert registry.get("toy@latest").number == 3


def test_a_change_of_status_is_seen_as_a_stage_at_once(registry, catalog, make_version):
    for run in "abc":
        registry.register(make_version(run))
    promote(registry, 1)
    registry.stage("toy", 2, "ann", "wait", "s")
    registry.refuse("toy", 3, "ann", "no", "r")
    assert stages(catalog) == {1: "Production", 2: "Staging", 3: "None"}
    promote(registry, 2)
    assert stages(catalog) == {1: "Archived", 2: "Production", 3: "None"}
    assert [one.number for one in catalog.latest("toy", ["Production"])] == [2]


def test_a_registered_version_moves_freely_and_every_move_is_kept(registry, catalog, workspace):
    for _ in range(3):
        enter(catalog)
    for number in "12":
        catalog.move_version("toy", number, "Production")
    assert statuses(registry) == {1: "production", 2: "production", 3: "candidate"}
    assert registry.production("toy") is None
    assert registry.get("toy@production").number == 2
    catalog.move_version("toy", "3", "Production", archive=True)
    catalog.move_version("toy", "1", "None")
    assert statuses(registry) == {1: "candidate", 2: "archived", 3: "production"}
    assert [(one.number, one.before, one.after) for one in registry.history("toy")][3:] == [
        (1, "candidate", "production"),
        (2, "candidate", "production"),
        (1, "production", "archived"),
        (2, "production", "archived"),
        (3, "candidate", "production"),
        (1, "archived", "candidate"),
    ]
    assert timeline(workspace.database, "model:toy")[-1].message == (
        "toy/1 registered: moved to None by an MLflow client"
    )


def test_treadles_promotion_takes_the_place_of_all_that_were_there(registry, catalog, make_version):
    for _ in range(2):
        catalog.move_version("toy", str(enter(catalog)), "Production")
    registry.register(make_version("a"))
    promote(registry, 3)
    assert statuses(registry) == {1: "deprecated", 2: "deprecated", 3: "production"}
    catalog.move_version("toy", "1", "Production")  # beside it, as MLflow lets it
    assert [one.number for one in registry.in_production("toy", one_day_on(registry))] == [1, 3]
    assert registry.production("toy").number == registry.get("toy@production").number == 3


def one_day_on(registry: Registry):
    from datetime import timedelta

    return max(one.at for one in registry.history("toy")) + timedelta(days=1)


def test_what_treadle_made_moves_by_its_guards_only(registry, catalog, make_version):
    made = registry.register(make_version("a"))
    promote(registry, made.number)
    with pytest.raises(Conflict, match="an MLflow client can't make it Archived"):
        catalog.move_version("toy", "1", "Archived")
    enter(catalog)
    with pytest.raises(Conflict, match="toy/1 is production"):
        catalog.move_version("toy", "2", "Production", archive=True)
    for change in (
        lambda: catalog.delete_version("toy", "1"),
        lambda: catalog.delete_model("toy"),
        lambda: catalog.rename_model("toy", "other"),
    ):
        with pytest.raises(Conflict, match="archive"):
            change()
    assert statuses(registry) == {1: "production", 2: "candidate"}


def test_a_registered_version_that_treadle_runs_is_governed_from_then_on(registry, catalog):
    enter(catalog)
    promote(registry, 1)
    assert registry.production("toy").number == 1
    with pytest.raises(Conflict):
        catalog.move_version("toy", "1", "None")


def test_the_history_of_a_deleted_version_stays(registry, catalog, workspace):
    catalog.move_version("toy", str(enter(catalog)), "Production")
    then = registry.history("toy")[-1].at
    catalog.delete_version("toy", "1")
    assert [one.after for one in registry.history("toy")] == ["candidate", "production", "deleted"]
    assert registry.in_production("toy", then) == []  # it isn't there any more to be told of
    assert enter(catalog) == 2
    catalog.rename_model("toy", "other")
    assert len(registry.history("other")) == 4


def test_a_name_that_is_given_again_has_an_audit_of_its_own(catalog, workspace):
    for _ in range(2):
        enter(catalog)
        catalog.delete_model("toy")
        catalog.create_model("toy")
    assert [event.kind for event in timeline(workspace.database, "model:toy")] == ["registered"] * 2


def test_aliases_name_versions_of_both_kinds(registry, catalog, make_version):
    registry.register(make_version("a"))
    enter(catalog)
    catalog.set_alias("toy", "champion", "1")
    found: ModelVersion = registry.get("toy@champion")
    assert (found.number, found.aliases) == (1, ("champion",))
    assert catalog.version_of_alias("toy", "champion").run == "a"
