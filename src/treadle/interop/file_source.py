"""Runs in the folders of MLflow's file store (``./mlruns``)."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from treadle.experiment import Curve, ExperimentCopy, LoggedModel, ModelMetric, RunCopy
from treadle.experiment.types import ModelLink, RunInput, portable
from treadle.interop import wording
from treadle.interop.places import Places
from treadle.interop.telling import Telling
from treadle.interop.types import Head, SourceFile, Tell, Trouble
from treadle.kernel.errors import CorruptData, MissingExtra, NotFound, StorageError
from treadle.registry import CatalogModel, CatalogVersion, ImportCatalogModel

_META, _TRASH, _REGISTRY = "meta.yaml", ".trash", "models"
_NOT_RUNS = {"tags", "datasets", "traces", "models"}


class FileSource:
    """An MLflow file store.

    Args:
        folder: The store's folder.
        places: Where artifacts may lie that aren't beside their runs.
        tell: Hears of what can't be read.

    Raises:
        NotFound: If that is no file store.
    """

    def __init__(self, folder: Path, places: Places, tell: Tell) -> None:
        self.name = folder.resolve().as_uri()
        self._folder = folder.resolve()
        self._places = places
        self._tell = tell
        self._homes: dict[str, Path] = {}
        self._runs: dict[str, Path] = {}
        self._models: dict[str, Path] = {}
        known = any(self._folder.glob(f"*/{_META}")) or any(self._folder.glob(f"{_TRASH}/*/{_META}"))
        if not known and not any(self._folder.glob(f"{_REGISTRY}/*/{_META}")):
            raise NotFound(
                "there is no MLflow file store",
                where=str(folder),
                fix="name the folder that has the experiments' folders, such as ./mlruns",
            )

    def close(self) -> None:
        """Does nothing: no file stays open."""

    # ── experiments ──────────────────────────────────────────────────────

    def experiments(self) -> list[ExperimentCopy]:
        """All experiments, deleted ones too."""
        found = []
        for folder in self._entries(self._folder, self._folder / _TRASH):
            if folder.name in {_TRASH, _REGISTRY}:
                continue
            with self._telling(folder / _META):
                meta = read_meta(folder / _META)
                number = str(meta["experiment_id"])
                self._homes[number] = folder
                created = wording.moment_or_epoch(meta.get("creation_time"))
                found.append(
                    ExperimentCopy(
                        id=number,
                        name=str(meta["name"]),
                        lifecycle=wording.lifecycle(meta.get("lifecycle_stage")),
                        created_at=created,
                        updated_at=wording.moment(meta.get("last_update_time")) or created,
                        tags=read_texts(folder / "tags"),
                    )
                )
        return found

    def _entries(self, *folders: Path) -> Iterator[Path]:
        for folder in folders:
            if folder.is_dir():
                yield from sorted(path for path in folder.iterdir() if path.is_dir())

    def _telling(self, where: Path | str) -> Telling:
        return Telling(self._tell, str(where))

    # ── runs ─────────────────────────────────────────────────────────────

    def heads(self, experiment: str) -> Iterator[Head]:
        """The runs of an experiment, deleted ones too; the stamp is of the files that change with it."""
        self._runs = {}
        for folder in self._entries(self._homes[experiment]):
            if folder.name in _NOT_RUNS or folder.name.startswith("."):
                continue
            with self._telling(folder / _META):
                meta = read_meta(folder / _META)
                running = wording.run_status(meta["status"]) in wording.GOING_ON
                self._runs[folder.name] = folder
                parts = [folder / _META, *(folder / name for name in ("metrics", "params", "tags"))]
                stamps = [f"{path.stat().st_mtime_ns}" for path in parts if path.exists()]
                yield Head(folder.name, "" if running else " ".join(stamps))

    def run(self, run: str) -> RunCopy | None:
        """A run without its files; None if it can't be read."""
        folder = self._runs[run]
        with self._telling(folder / _META):
            meta = read_meta(folder / _META)
            if str(meta.get("run_id", meta.get("run_uuid"))) != run:
                raise CorruptData(f"it is of another run than its folder says: {meta.get('run_id')!r:.80}")
            tags = read_texts(folder / "tags")
            return RunCopy(
                id=run,
                experiment=str(meta["experiment_id"]),
                name=wording.run_name(meta.get("run_name") or meta.get("name"), tags, run),
                user=str(meta.get("user_id") or ""),
                status=wording.run_status(meta["status"]),
                lifecycle=wording.lifecycle(meta.get("lifecycle_stage")),
                started_at=wording.moment_or_epoch(meta.get("start_time")),
                ended_at=wording.moment(meta.get("end_time")),
                deleted_at=wording.moment(meta.get("deleted_time")),
                params={name: text.strip() for name, text in read_texts(folder / "params").items()},
                tags=tags,
                inputs=tuple(self._inputs(folder)),
                models=tuple(self._links(folder)),
            )
        return None

    def _inputs(self, folder: Path) -> Iterator[RunInput]:
        for path in sorted((folder / "inputs").glob(f"*/{_META}")):
            with self._telling(path):
                meta = read_meta(path)
                if meta.get("source_type") != "DATASET":
                    continue
                tags = {str(k): str(v) for k, v in (meta.get("tags") or {}).items()}
                data = read_meta(folder.parent / "datasets" / str(meta["source_id"]) / _META)
                yield wording.dataset(data, tags)

    def _links(self, folder: Path) -> Iterator[ModelLink]:
        for path in sorted((folder / "inputs").glob(f"*/{_META}")):
            with self._telling(path):
                meta = read_meta(path)
                if meta.get("source_type") == "MODEL":
                    yield ModelLink(str(meta["source_id"]), "input", int(meta.get("step") or 0))
        for path in sorted((folder / "outputs").glob(f"*/{_META}")):
            with self._telling(path):
                meta = read_meta(path)
                yield ModelLink(str(meta["source_id"]), "output", int(meta.get("step") or 0))

    def curves(self, run: str) -> Iterator[tuple[str, Curve]]:
        """A run's curves; a file with a line that can't be read is told and passed over."""
        folder = self._runs[run] / "metrics"
        for path in _files(folder):
            with self._telling(path):
                curve = read_curve(path)
                if len(curve):
                    yield path.relative_to(folder).as_posix(), curve

    def files(self, run: str) -> Iterable[SourceFile] | None:
        """A run's files: beside it if they are there, or else where its URI says."""
        return self._files(self._runs[run], "artifact_uri")

    def _files(self, folder: Path, key: str) -> Iterable[SourceFile] | None:
        beside = folder / "artifacts"
        if beside.is_dir():
            return self._places.walk(beside)
        uri = str(read_meta(folder / _META).get(key) or "")
        # The store makes the folder with the run: one that should be here was taken away.
        if not uri or Path(uri.removeprefix("file://")) == beside:
            self._tell(Trouble(str(beside), "the artifacts' folder is missing"))
            return None
        return self._places.files(uri)

    # ── models ───────────────────────────────────────────────────────────

    def logged_models(self, experiment: str) -> Iterator[LoggedModel]:
        """The logged models of an experiment."""
        self._models = {}
        for folder in self._entries(self._homes[experiment] / "models"):
            with self._telling(folder / _META):
                meta = read_meta(folder / _META)
                created = wording.moment_or_epoch(meta.get("creation_timestamp"))
                self._models[folder.name] = folder
                yield LoggedModel(
                    id=folder.name,
                    experiment=experiment,
                    name=str(meta["name"]),
                    artifacts=str(meta.get("artifact_location") or ""),
                    status=wording.model_status(meta.get("status", 0)),
                    message=meta.get("status_message"),
                    model_type=str(meta.get("model_type") or ""),
                    run=str(meta.get("source_run_id") or ""),
                    lifecycle=wording.lifecycle(meta.get("lifecycle_stage")),
                    created_at=created,
                    updated_at=wording.moment(meta.get("last_updated_timestamp")) or created,
                    params=read_texts(folder / "params"),
                    tags=read_texts(folder / "tags"),
                    metrics=tuple(self._measured(folder)),
                )

    def _measured(self, folder: Path) -> Iterator[ModelMetric]:
        top = folder / "metrics"
        for path in _files(top):
            with self._telling(path):
                name = path.relative_to(top).as_posix()
                for line in path.read_text().splitlines():
                    yield _model_metric(folder.name, name, line.split(" "))

    def model_files(self, model: LoggedModel) -> Iterable[SourceFile] | None:
        """A logged model's files."""
        return self._files(self._models[model.id], "artifact_location")

    def registered_models(self) -> Iterator[ImportCatalogModel]:
        """The registered models with their versions."""
        for folder in self._entries(self._folder / _REGISTRY):
            with self._telling(folder / _META):
                meta = read_meta(folder / _META)
                created = wording.moment_or_epoch(meta.get("creation_timestamp"))
                named = read_texts(folder / "aliases") or meta.get("aliases") or {}
                yield ImportCatalogModel(
                    model=CatalogModel(
                        name=str(meta["name"]),
                        created_at=created,
                        updated_at=wording.moment(meta.get("last_updated_timestamp")) or created,
                        description=str(meta.get("description") or ""),
                        tags=read_texts(folder / "tags"),
                        aliases={str(k): int(v) for k, v in named.items()},
                    ),
                    versions=tuple(self._versions(folder)),
                )

    def _versions(self, folder: Path) -> Iterator[CatalogVersion]:
        for path in sorted(folder.glob(f"version-*/{_META}")):
            with self._telling(path):
                yield wording.version(read_meta(path), read_texts(path.parent / "tags"))


def _model_metric(model: str, name: str, parts: list[str]) -> ModelMetric:
    """``TIME VALUE STEP RUN`` and, if it was measured on one, the dataset's name and digest."""
    if len(parts) != 4 and len(parts) < 6:
        raise CorruptData(f"a line has {len(parts)} fields; 4 or 6 are expected")
    return ModelMetric(
        model=model,
        name=name,
        at=int(parts[0]) * 1000,
        value=portable(float(parts[1])),
        step=int(parts[2]),
        run=parts[3],
        dataset_name=" ".join(parts[4:-1]),
        dataset_digest=parts[-1] if len(parts) > 4 else "",
    )


def read_meta(path: Path) -> dict[str, Any]:
    """What a ``meta.yaml`` says.

    Raises:
        CorruptData: If it can't be read.
        MissingExtra: If PyYAML isn't installed.
    """
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise MissingExtra(
            "reading MLflow's files needs PyYAML", fix="pip install 'treadle[platform]'"
        ) from None
    try:
        found = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        raise CorruptData("it is missing", where=str(path)) from None
    except OSError as error:
        raise StorageError(error.strerror or str(error), where=str(path)) from error
    except (yaml.YAMLError, ValueError) as error:
        first = " ".join(str(error).split())[:200]
        raise CorruptData(f"it is no YAML: {first}", where=str(path)) from None
    if not isinstance(found, dict):
        raise CorruptData("it doesn't say anything by name", where=str(path))
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []


def read_texts(folder: Path) -> dict[str, str]:
    """The files of a folder, which have one text each."""
    return {path.relative_to(folder).as_posix(): path.read_bytes().decode("utf-8") for path in _files(folder)}


def read_curve(path: Path) -> Curve:
    """A metric's file: a line a point, ``TIME VALUE STEP``.

    Raises:
        CorruptData: If a line can't be read; says which.
    """
    at, values, steps = [], [], []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            parts = line.split()
            if not parts:
                continue
            try:
                at.append(int(parts[0]) * 1000)
                values.append(float(parts[1]))
                steps.append(int(parts[2]) if len(parts) > 2 else 0)
            except (ValueError, IndexError):
                raise CorruptData(
                    f"line {number} is no point: {line.strip()!r:.80}", where=str(path)
                ) from None
    return Curve(np.array(values, np.float64), np.array(at, np.int64), np.array(steps, np.int64))
