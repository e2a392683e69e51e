"""A workspace of schema 0006, where Treadle's versions and MLflow's were in two worlds, opens as one list."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from servers import empty_postgres_url as postgres_url  # noqa: F401 - the fixture
from treadle.kernel.database import connect_engine
from treadle.kernel.workspace import Workspace
from treadle.registry import Cards, CardTexts, Catalog, NewCatalogVersion, Registry
from treadle.registry.card.types import NewCardText

FIXTURE = Path(__file__).parents[1] / "fixtures" / "workspace_0006.sql"
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def fill_postgres(url: str, folder: Path) -> None:
    """The tables of schema 0006 with the rows of the fixture."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "treadle.kernel:migrations")
    engine = connect_engine(url, folder)
    with closing(sqlite3.connect(":memory:")) as old, engine.begin() as connection:
        old.executescript(FIXTURE.read_text())
        old.row_factory = sqlite3.Row
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        tables = sa.MetaData()
        tables.reflect(connection)
        for table in tables.sorted_tables:
            rows = [dict(row) for row in old.execute(f"SELECT * FROM {table.name}")]
            for column in table.c:
                if isinstance(column.type, sa.Boolean):
                    for row in rows:
                        row[column.name] = bool(row[column.name])
            if rows and table.name != "alembic_version":
                connection.execute(table.delete())
                connection.execute(table.insert(), rows)
    engine.dispose()


@pytest.fixture
def old(tmp_path: Path, metadata_url: str) -> Iterator[Workspace]:
    text = f'[project]\nname = "toy"\n[store]\nmetadata = "{metadata_url}"\n'
    (tmp_path / "treadle.toml").write_text(text)
    if metadata_url.startswith("postgres"):
        fill_postgres(metadata_url, tmp_path)
    else:
        with closing(sqlite3.connect(tmp_path / "metadata.db")) as connection:
            connection.executescript(FIXTURE.read_text())
    workspace = Workspace.open(tmp_path)
    yield workspace
    workspace.close()


def test_every_version_of_both_worlds_is_in_one_list(old):
    found = {one.ref: (one.origin, one.governed, one.status, one.run) for one in Registry(old).list()}
    assert found == {
        "wine/1": ("treadle", True, "deprecated", "run_a"),
        "wine/2": ("treadle", True, "production", "run_b"),
        "toy/1": ("treadle", True, "candidate", "run_c"),
        "wine/4": ("mlflow", False, "staging", "run_d"),
        "wine/5": ("mlflow", False, "production", "run_d"),
        "wine/6": ("mlflow", False, "archived", "run_d"),
        "port/1": ("mlflow", False, "candidate", "run_d"),
    }
    catalog = Catalog(old)
    assert {(one.model, one.number): one.stage for one in catalog.search_versions().versions} == {
        ("wine", 1): "Archived",
        ("wine", 2): "Production",
        ("wine", 4): "Staging",
        ("wine", 5): "Production",
        ("wine", 6): "Archived",
        ("toy", 1): "None",
        ("port", 1): "None",
    }
    assert [one.name for one in catalog.search_models().models] == ["empty", "port", "toy", "wine"]


def test_versions_keep_what_they_had(old):
    registry, catalog = Registry(old), Catalog(old)
    own = registry.get("wine/2")
    assert (own.params, own.metrics, own.approved_by) == ({"depth": 3}, {"roc_auc": 0.7}, "ann")
    assert [file.path for file in own.files] == ["example.json", "model.onnx", "signature.json"]
    assert (own.source, catalog.version("wine", "2").storage) == (
        "runs:/run_b/model",
        "mlflow-artifacts:/1/run_b/artifacts/model",
    )
    moved = catalog.version("wine", "5")
    assert (moved.source, moved.tags) == ("s3://bucket/1", {"n": "1", "treadle.former_number": "1"})
    assert catalog.version("wine", "4").tags == {"n": "4"}
    wine = catalog.model("wine")
    assert (wine.aliases, wine.tags, wine.description) == (
        {"champion": 5, "next": 4},
        {"team": "cellar"},
        "of MLflow",
    )
    assert registry.get("wine@champion").number == 5
    assert catalog.version("port", "1").source == "models:/wine/5"


def test_history_goes_on_where_it_was(old):
    registry = Registry(old)
    assert [(one.number, one.after) for one in registry.history("wine")] == [
        (1, "candidate"),
        (1, "production"),
        (2, "candidate"),
        (1, "deprecated"),
        (2, "production"),
        (4, "candidate"),
        (4, "staging"),
        (5, "candidate"),
        (5, "production"),
        (6, "candidate"),
        (6, "archived"),
    ]
    noon = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    assert [one.number for one in registry.in_production("wine", noon)] == [1]
    assert [one.number for one in registry.in_production("wine", LATER)] == [5, 2]
    assert registry.production("wine").number == registry.get("wine@production").number == 2


def test_numbers_go_on_after_both(old):
    made = Catalog(old).create_version(NewCatalogVersion(model="wine", source="s3://bucket/x"))
    assert made.number == 7
    assert Catalog(old).create_version(NewCatalogVersion(model="toy", source="s3://bucket/x")).number == 2


def test_what_people_write_on_a_card_can_be_kept_of_every_model(old):
    assert Cards(old).texts("port") == []
    part = NewCardText(section="limits", text="Red wine only.")
    Cards(old).write(CardTexts(model="port", parts=(part,), actor="ada"))
    assert [one.text for one in Cards(old).texts("port")] == ["Red wine only."]
