"""The plan of the house: the same doors in every room, small files, and nobody climbs through a window."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import treadle

SOURCE = Path(treadle.__file__).parent
TESTS = Path(__file__).parent
LONGEST = 500
DOORS = ("__init__", "types", "rules", "service", "store")
ROOMS = ("experiment", "train", "evaluate", "deploy", "monitor", "retrain", "data", "registry", "govern")
GROUND = ("kernel", "api", "cli", "sdk", "client", "infra", "interop", "paths")

# Files of another room that are imported by name, and why that is right.
WINDOWS = {
    ("api/mlflow/registry.py", "treadle.retrain.publish"): "what a client asks is what a person may do",
    ("api/raw.py", "treadle.retrain.rules"): "a pure function that only this route needs",
    ("api/server.py", "treadle.retrain.worker"): "the lock's place is the worker's to choose",
    ("cli/run.py", "treadle.client.client"): "who asks is written into the request by hand there",
    ("sdk/origin.py", "treadle.client.client"): "who runs a script is who would ask",
}


# Packages within a room that have public names of their own.
PACKAGES = (
    "treadle.deploy.replica",
    "treadle.deploy.worker",
    "treadle.experiment.grammar",
    "treadle.interop.dvc",
    "treadle.interop.lakefs",
)


def files() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py"))


@functools.cache
def imports(path: Path) -> tuple[tuple[str, str], ...]:
    """Module and name of everything of the house that a file imports."""
    found: list[tuple[str, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("treadle"):
            found += ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            found += ((alias.name, "") for alias in node.names if alias.name.startswith("treadle"))
    return tuple(found)


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0]


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("door", DOORS)
def test_every_room_has_the_same_doors(room: str, door: str) -> None:
    path = SOURCE / room / f"{door}.py"
    assert path.is_file()
    assert ast.get_docstring(ast.parse(path.read_text())), "it doesn't say what it is"


def test_there_is_no_room_that_the_plan_does_not_have() -> None:
    found = {path.name for path in SOURCE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert found == {*ROOMS, *GROUND}


@pytest.mark.parametrize("room", ROOMS)
def test_rules_do_no_io(room: str) -> None:
    """Neither the database nor blobs, files, the network or the clock."""
    tree = ast.parse((SOURCE / room / "rules.py").read_text())
    modules = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    effects = {"sqlalchemy", "urllib3", "urllib", "socket", "subprocess", "os", "time", "shutil", "tempfile",
               "duckdb", "obstore", "deltalake", "random", "secrets", "threading"}  # fmt: skip
    assert not {module.partition(".")[0] for module in modules} & effects
    assert not {
        module
        for module in modules
        if module.endswith((".store", ".service", ".database", ".workspace", ".blobs", ".clock"))
    }
    calls = {
        node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    assert not calls & {"open", "now", "utcnow", "today", "read_text", "write_text", "print"}


@pytest.mark.parametrize("room", ROOMS)
def test_types_are_frozen_values(room: str) -> None:
    for node in ast.parse((SOURCE / room / "types.py").read_text()).body:
        if not isinstance(node, ast.ClassDef):
            continue
        bases = {ast.unparse(base) for base in node.bases}
        if bases & {"Protocol", "float", "enum.Enum", "Enum", "StrEnum"}:
            continue
        settings = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert settings.get("frozen") == "True", f"{room}.types.{node.name}"


@pytest.mark.parametrize("folder", [SOURCE, TESTS])
def test_no_file_is_long(folder: Path) -> None:
    long = {
        str(path.relative_to(folder)): lines
        for path in folder.rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > LONGEST
    }
    assert long == {}


def test_nobody_imports_a_private_name() -> None:
    private = [
        f"{path.relative_to(SOURCE)}: {module} {name}"
        for path in files()
        for module, name in imports(path)
        if any(part.startswith("_") and part != "__version__" for part in (*module.split("."), name))
    ]
    assert private == []


def test_rooms_are_entered_by_their_doors() -> None:
    """By the package, or by its ``types``: those are values, and cost nothing to import."""
    found = {
        (str(path.relative_to(SOURCE)), module)
        for path in files()
        for module, _ in imports(path)
        if len(parts := module.split(".")) > 2
        and parts[1] not in {"kernel", room_of(path)}
        and parts[2:] != ["types"]
        and module not in PACKAGES
    }
    assert found == set(WINDOWS)


def test_every_test_folder_mirrors_a_room() -> None:
    """Tests of a room lie in a folder of its name; what spans rooms lies in ``e2e`` or at the root.

    ``helm`` is of what lies outside the package: the chart and the image.
    """
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and list(path.glob("test_*.py"))}
    assert folders - {"autologging", "e2e", "helm"} <= {*ROOMS, *GROUND}
    assert {*ROOMS, *GROUND} - folders == set()


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(SOURCE))
        for path in files()
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []
