"""All that a workspace keeps, row by row, without what differs from one turn to the next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from treadle.experiment.series import unpack
from treadle.kernel.database import schema
from treadle.kernel.ids import digest_file
from treadle.kernel.workspace import Workspace

# What the machine's clock and processors put into a row.
_MACHINE = {
    "cpu_seconds", "ended_at", "heard_at", "host", "peak_bytes", "recorded_at", "served_at", "started_at",
    "wall_seconds",
}  # fmt: skip
_ID = re.compile(r"(?:_|cycle/)[0-9a-hjkmnp-tv-z]{26}(?![0-9a-z])")
_SPENT = re.compile(r"\bin [0-9a-z. ]+ of CPU time")
_DIGEST = re.compile(r"(?<![0-9a-z])[0-9a-f]{64}(?![0-9a-z])")

Account = dict[str, list[str]]


def account(workspace: Workspace) -> Account:
    """Every row of every table, as text, sorted."""
    found = {}
    with workspace.database.read() as connection:
        for name, table in schema.tables.items():
            rows = [dict(row) for row in connection.execute(sa.select(table)).mappings()]
            if name == "run_chunks":
                rows = _curves(rows)
            found[name] = sorted(_text(name, row) for row in rows)
    return found


def differences(found: Account, wanted: Account) -> list[str]:
    """In which values they differ, few enough to be read."""
    told = []
    for table, rows in wanted.items():
        if len(found[table]) != len(rows):
            told.append(f"{table}: {len(found[table])} rows instead of {len(rows)}")
        for mine, theirs in zip(found[table], rows, strict=False):
            if mine != theirs:
                is_, was = dict(_flat(msgspec.json.decode(mine))), dict(_flat(msgspec.json.decode(theirs)))
                told += [
                    f"{table}{path}: {is_.get(path)!r} instead of {was.get(path)!r}"
                    for path in {**is_, **was}
                    if is_.get(path) != was.get(path)
                ]
    return told[:20]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _flat(item, f"{path}.{key}")
    else:
        yield path, value


def _curves(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points of each run: how many came at once, and were kept together, is a matter of time."""
    runs: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in chunks:
        told = runs.setdefault(row["run"], {})
        for name, curve in unpack(row["data"]).items():
            told.setdefault(name, []).extend(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))
    return [
        {"run": run, "data": {name: sorted(points) for name, points in told.items()}}
        for run, told in runs.items()
    ]


def _text(table: str, row: dict[str, Any]) -> str:
    if table == "run_provenance":  # where the project lies differs from copy to copy
        told = msgspec.json.decode(row["data"])
        row["data"] = {name: value for name, value in told.items() if name != "folder"}
    if table in {"run_metrics", "artifact_files"}:
        del row["at"]
    if table == "dataset_versions":  # a commit says who made it on which branch: a cycle, by its identifier
        del row["commit_id"]
    if table == "events":
        row["facts"] = {name: value for name, value in row["facts"].items() if name != "commit"}
    if table == "experiments":
        del row["created_at"], row["updated_at"]
    if table == "events" and _ID.search(row["id"]):
        del row["id"]  # a random one would decide the order
    plain = _without(msgspec.to_builtins(row))
    text = msgspec.json.encode(plain, order="sorted").decode()
    return _SPENT.sub("in a while of CPU time", _ID.sub("_ID", text))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without(v) for k, v in value.items() if v is None or k not in _MACHINE}
    if isinstance(value, list | tuple):
        return [_without(item) for item in value]
    return value


def check_whole(workspace: Workspace) -> None:
    """Whether nothing is half there: every digest that a row names can be had, every blob is what it says.

    A file may lie about that was about to be put in its place, when a thread was in the middle of that:
    no name leads to it. The blob store calls it after the blob, with ``#`` and a number; what was on its
    way there in pieces lies in ``tmp`` until it is swept up.
    """
    blobs = set()
    for path in _files(workspace.root / workspace.config.store.blobs):
        if re.fullmatch(r"[0-9a-f]{62}#\d+|[0-9a-f]{32}\.upload", path.name):
            continue
        digest = path.parent.name + path.name
        assert digest_file(path) == digest, path
        blobs.add(digest)
    named = set(_named(workspace))
    assert named
    assert named <= blobs


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _named(workspace: Workspace) -> Iterator[str]:
    """The digests of blobs that rows name."""
    from treadle.data import Datasets
    from treadle.experiment import Experiments
    from treadle.registry import Registry
    from treadle.train.store import recipes

    for dataset in workspace.config.data:
        for version in Datasets(workspace).log(dataset):
            yield from (file.digest for file in version.files)
    experiments = Experiments(workspace)
    for run in experiments.list(limit=1000):
        yield from (artifact.digest for artifact in experiments.artifacts(run.id))
    for model in Registry(workspace).list():
        yield model.profile
        yield from (file.digest for file in model.files)
    with workspace.database.read() as connection:
        for recipe in connection.execute(sa.select(recipes.c.recipe)).scalars():
            yield recipe.environment
            yield recipe.code
            yield from _DIGEST.findall(workspace.blobs.get(recipe.code).decode())


def trained(root: Path) -> list[str]:
    """The runs whose script was begun, as the script itself wrote it down."""
    return (root / "trained.txt").read_text().split()
