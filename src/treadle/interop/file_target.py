"""MLflow's file store, written: the folders and files as MLflow 3 lays them out, identifiers kept."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from treadle.experiment import Artifact, Curve, ExperimentCopy, LoggedModel, RunCopy
from treadle.experiment.types import RunInput
from treadle.interop import wording
from treadle.interop.types import SourceFile
from treadle.kernel.errors import AlreadyExists, CorruptData, StorageError
from treadle.kernel.files import storage_errors, sync
from treadle.kernel.ids import new_digest
from treadle.registry import CatalogVersion, ImportCatalogModel

_LOCAL = 4
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class FileTarget:
    """A file store that is being written: beside its place, which it takes when it is whole.

    Args:
        folder: Where it will be.

    Raises:
        AlreadyExists: If something is there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._part = self.folder.with_name(f".{self.folder.name}.part")
        with storage_errors(str(self.folder)):
            if self.folder.exists() and any(self.folder.iterdir()):
                raise AlreadyExists(
                    "there is something in that folder",
                    where=str(folder),
                    fix="name one that is new or empty",
                )
            shutil.rmtree(self._part, ignore_errors=True)
            self._part.mkdir(parents=True)
        self._homes: dict[str, Path] = {}

    def finish(self) -> None:
        """Puts the store in its place."""
        with storage_errors(str(self.folder)):
            if self.folder.exists():
                self.folder.rmdir()
            self._part.replace(self.folder)
            sync(self.folder.parent)

    def experiment(self, copy: ExperimentCopy) -> None:
        """Writes an experiment."""
        home = (self._part / ".trash" if copy.lifecycle == "deleted" else self._part) / copy.id
        self._homes[copy.id] = home
        meta = {
            "artifact_location": self._uri(copy.id),
            "creation_time": wording.to_ms(copy.created_at),
            "experiment_id": copy.id,
            "last_update_time": wording.to_ms(copy.updated_at),
            "lifecycle_stage": copy.lifecycle,
            "name": copy.name,
        }
        _write_meta(home, meta)
        _write_texts(home / "tags", copy.tags)

    def run(
        self, copy: RunCopy, curves: Iterable[tuple[str, Curve]], files: Iterable[SourceFile]
    ) -> tuple[Artifact, ...]:
        """Writes a run; returns its files.

        Raises:
            CorruptData: If a name can't be a file's beside the others.
            StorageError: If it can't be written.
        """
        folder = self._homes[copy.experiment] / copy.id
        with _whole(folder):
            return self._run(folder, copy, curves, files)

    def _run(
        self,
        folder: Path,
        copy: RunCopy,
        curves: Iterable[tuple[str, Curve]],
        files: Iterable[SourceFile],
    ) -> tuple[Artifact, ...]:
        for name in ("metrics", "params", "tags", "artifacts"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        _write_texts(folder / "params", copy.params)
        _write_texts(folder / "tags", copy.tags)
        for name, curve in curves:
            _write_lines(folder / "metrics", name, _points(curve))
        for used in copy.inputs:
            self._input(folder, copy.id, used)
        for link in copy.models:
            meta: dict[str, Any] = {"destination_id": link.model, "source_id": link.model, "tags": {}}
            if link.kind == "input":
                kinds = {"destination_type": "RUN", "source_type": "MODEL"}
                _write_meta(folder / "inputs" / _md5(link.model, copy.id), meta | kinds)
            else:
                kinds = {"destination_type": "MODEL_OUTPUT", "source_type": "RUN_OUTPUT"}
                _write_meta(folder / "outputs" / link.model, meta | kinds | {"step": link.step})
        written = _write_files(folder / "artifacts", files)
        meta = {
            "artifact_uri": self._uri(copy.experiment, copy.id, "artifacts"),
            "end_time": None if copy.ended_at is None else wording.to_ms(copy.ended_at),
            "entry_point_name": "",
            "experiment_id": copy.experiment,
            "lifecycle_stage": copy.lifecycle,
            "run_id": copy.id,
            "run_name": copy.name,
            "source_name": "",
            "source_type": _LOCAL,
            "source_version": "",
            "start_time": wording.to_ms(copy.started_at),
            "status": wording.status_number(copy.status),
            "tags": [],
            "user_id": copy.user,
        }
        if copy.deleted_at is not None:
            meta["deleted_time"] = wording.to_ms(copy.deleted_at)
        _write_meta(folder, meta)  # last: what has none is no run
        return written

    def _input(self, folder: Path, run: str, used: RunInput) -> None:
        identity = _md5(used.name, used.digest)
        data = {
            name: getattr(used, name)
            for name in ("digest", "name", "profile", "schema", "source", "source_type")
        }
        _write_meta(folder.parent / "datasets" / identity, data)
        tags = used.tags | ({wording.CONTEXT_TAG: used.context} if used.context else {})
        meta = {"destination_id": identity, "destination_type": "RUN", "source_id": identity}
        _write_meta(folder / "inputs" / _md5(identity, run), meta | {"source_type": "DATASET", "tags": tags})

    def logged_model(self, model: LoggedModel, files: Iterable[SourceFile]) -> tuple[Artifact, ...]:
        """Writes a logged model; returns its files; raises as :meth:`run`."""
        folder = self._homes[model.experiment] / "models" / model.id
        with _whole(folder):
            return self._model(folder, model, files)

    def _model(self, folder: Path, model: LoggedModel, files: Iterable[SourceFile]) -> tuple[Artifact, ...]:
        for name in ("metrics", "params", "tags", "artifacts"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        _write_texts(folder / "params", model.params)
        _write_texts(folder / "tags", model.tags)
        measured: dict[str, list[str]] = {}
        for one in model.metrics:
            dataset = f" {one.dataset_name} {one.dataset_digest}" if one.dataset_name else ""
            line = f"{one.at // 1000} {float(one.value)!r} {one.step} {one.run}{dataset}\n"
            measured.setdefault(one.name, []).append(line)
        for name, lines in measured.items():
            _write_lines(folder / "metrics", name, iter(lines))
        written = _write_files(folder / "artifacts", files)
        meta = {
            "artifact_location": self._uri(model.experiment, "models", model.id, "artifacts"),
            "creation_timestamp": wording.to_ms(model.created_at),
            "experiment_id": model.experiment,
            "last_updated_timestamp": wording.to_ms(model.updated_at),
            "lifecycle_stage": model.lifecycle,
            "model_id": model.id,
            "model_type": model.model_type or None,
            "name": model.name,
            "source_run_id": model.run or None,
            "status": wording.model_status_number(model.status),
            "status_message": model.message,
        }
        _write_meta(folder, meta)
        return written

    def registered_model(self, copy: ImportCatalogModel) -> None:
        """Writes a registered model with its versions."""
        model, folder = copy.model, _below(self._part / "models", copy.model.name)
        _write_texts(folder / "tags", model.tags)
        _write_texts(folder / "aliases", {alias: str(number) for alias, number in model.aliases.items()})
        for version in copy.versions:
            place = folder / f"version-{version.number}"
            _write_texts(place / "tags", version.tags)
            _write_meta(place, self._version(version))
        _write_meta(
            folder,
            {
                "aliases": {alias: str(number) for alias, number in model.aliases.items()},
                "creation_timestamp": wording.to_ms(model.created_at),
                "description": model.description or None,
                "last_updated_timestamp": wording.to_ms(model.updated_at),
                "name": model.name,
            },
        )

    def _version(self, version: CatalogVersion) -> dict[str, Any]:
        return {
            "creation_timestamp": wording.to_ms(version.created_at),
            "current_stage": version.stage,
            "description": version.description or None,
            "last_updated_timestamp": wording.to_ms(version.updated_at),
            "model_id": version.logged_model or None,
            "name": version.model,
            "run_id": version.run or None,
            "run_link": version.run_link or None,
            "source": self._moved(version.source),
            "status": "READY",
            "status_message": None,
            "storage_location": self._moved(version.storage),
            "user_id": None,
            "version": version.number,
        }

    def _moved(self, uri: str) -> str:
        scheme, _, path = uri.partition(":")
        return self._uri(*path.strip("/").split("/")) if scheme == "mlflow-artifacts" else uri

    def _uri(self, *parts: str) -> str:
        return self.folder.joinpath(*parts).as_uri()


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[None]:
    """What is written in the block is there as a whole, or not at all."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _below(folder: Path, name: str) -> Path:
    """A path within a folder.

    Raises:
        CorruptData: If the name leads out of it.
    """
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts or path == folder:
        raise CorruptData(f"{name!r:.80} can't be a file of the store")
    return path


def _put(folder: Path, name: str, pieces: Iterator[bytes]) -> tuple[str, int]:
    """Writes a file; returns its digest and size.

    Raises:
        CorruptData: If a file and a folder would have one name.
    """
    path, hasher, size = _below(folder, name), new_digest(), 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for piece in pieces:
                hasher.update(piece)
                size += len(piece)
                file.write(piece)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise CorruptData(f"{name!r:.80} can't be a file beside the others: one is a folder's name") from None
    except OSError as error:
        raise StorageError(error.strerror or str(error), where=str(path)) from error
    return hasher.hexdigest(), size


def _write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        _put(folder, name, iter([text.encode()]))


def _write_lines(folder: Path, name: str, lines: Iterator[str]) -> None:
    _put(folder, name, (line.encode() for line in lines))


def _write_files(folder: Path, files: Iterable[SourceFile]) -> tuple[Artifact, ...]:
    return tuple(Artifact(file.path, *_put(folder, file.path, file.read())) for file in files)


def _points(curve: Curve) -> Iterator[str]:
    columns = zip(curve.at.tolist(), curve.values.tolist(), curve.steps.tolist(), strict=True)
    return (f"{at // 1000} {value!r} {step}\n" for at, value, step in columns)


def _write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    """Writes a ``meta.yaml``: each value as JSON, which YAML reads."""
    lines = (f"{name}: {_json(meta[name])}\n" for name in sorted(meta))
    _put(folder, "meta.yaml", iter(["".join(lines).encode()]))


def _json(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _md5(*parts: str) -> str:
    """The name of a folder as MLflow gives it."""
    return hashlib.md5("".join(parts).encode(), usedforsecurity=False).hexdigest()
