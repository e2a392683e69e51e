"""A tracking server that is written to by MLflow's protocol: its identifiers are its own."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from treadle.experiment import Artifact, Curve, ExperimentCopy, LoggedModel, ModelMetric, RunCopy
from treadle.experiment.types import RunInput
from treadle.interop import wording
from treadle.interop.types import SourceFile, Tell, Trouble
from treadle.interop.wire import Wire
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound
from treadle.kernel.ids import new_digest
from treadle.registry import CatalogModel, CatalogVersion

_BATCH, _TEXTS = 1000, 100
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"


class HttpTarget:
    """A tracking server that is written to.

    Args:
        wire: How it is asked.
        tell: Hears of what it doesn't take.
    """

    def __init__(self, wire: Wire, tell: Tell) -> None:
        self._wire = wire
        self._tell = tell
        self._unproxied = False

    # ── experiments and runs ─────────────────────────────────────────────

    def experiment(self, copy: ExperimentCopy) -> tuple[str, bool]:
        """The experiment of that name, made if there is none; and whether it was deleted there.

        Raises:
            InvalidInput: If the server refuses it.
        """
        try:
            found = self._wire.ask("GET", "/experiments/get-by-name", experiment_name=copy.name)["experiment"]
        except NotFound:
            made = self._wire.ask(
                "POST", "/experiments/create", {"name": copy.name, "tags": _texts(copy.tags)}
            )
            return str(made["experiment_id"]), False
        number = str(found["experiment_id"])
        deleted = wording.lifecycle(found.get("lifecycle_stage")) == "deleted"
        if not deleted:
            known = {one["key"] for one in found.get("tags", ())}
            for name, value in copy.tags.items():
                if name not in known:
                    body = {"experiment_id": number, "key": name, "value": value}
                    self._wire.ask("POST", "/experiments/set-experiment-tag", body)
        return number, deleted

    def restore_experiment(self, number: str) -> None:
        """Takes back that an experiment was deleted."""
        self._wire.ask("POST", "/experiments/restore", {"experiment_id": number})

    def delete_experiment(self, number: str) -> None:
        """Deletes an experiment."""
        self._wire.ask("POST", "/experiments/delete", {"experiment_id": number})

    def create_run(self, copy: RunCopy, experiment: str, tags: Mapping[str, str]) -> tuple[str, str]:
        """Makes a run; returns its identifier and where its files are."""
        body = {
            "experiment_id": experiment,
            "run_name": copy.name,
            "user_id": copy.user,
            "start_time": wording.to_ms(copy.started_at),
            "tags": _texts(tags),
        }
        info = self._wire.ask("POST", "/runs/create", body)["run"]["info"]
        return str(info.get("run_id") or info["run_uuid"]), str(info.get("artifact_uri") or "")

    def log_texts(self, run: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Logs parameters and tags."""
        for kind, texts in (("params", _texts(params)), ("tags", _texts(tags))):
            for start in range(0, len(texts), _TEXTS):
                self._batch(run, **{kind: texts[start : start + _TEXTS]})

    def log_curves(self, run: str, curves: Iterable[tuple[str, Curve]]) -> None:
        """Logs all points, many at a time."""
        waiting: list[dict[str, Any]] = []
        for name, curve in curves:
            for point in _points(name, curve):
                waiting.append(point)
                if len(waiting) == _BATCH:
                    self._batch(run, metrics=waiting)
                    waiting = []
        if waiting:
            self._batch(run, metrics=waiting)

    def log_model_metrics(self, run: str, model: str, measured: Sequence[ModelMetric]) -> None:
        """Logs what a run measured of a logged model."""
        for start in range(0, len(measured), _BATCH):
            points = [
                {
                    "key": one.name,
                    "value": _number(float(one.value)),
                    "timestamp": one.at // 1000,
                    "step": one.step,
                    "model_id": model,
                    **({"dataset_name": one.dataset_name} if one.dataset_name else {}),
                    **({"dataset_digest": one.dataset_digest} if one.dataset_digest else {}),
                }
                for one in measured[start : start + _BATCH]
            ]
            self._batch(run, metrics=points)

    def _batch(self, run: str, **what: Any) -> None:
        self._wire.ask("POST", "/runs/log-batch", {"run_id": run} | what)

    def log_inputs(self, run: str, used: Sequence[RunInput], models: Sequence[str]) -> None:
        """Logs the datasets and the logged models that a run used."""
        if used or models:
            body = {
                "run_id": run,
                "datasets": [_dataset(one) for one in used],
                "models": [{"model_id": one} for one in models],
            }
            self._wire.ask("POST", "/runs/log-inputs", body)

    def log_outputs(self, run: str, made: Sequence[tuple[str, int]]) -> None:
        """Logs the logged models that a run made, each with its step."""
        if made:
            models = [{"model_id": model, "step": step} for model, step in made]
            self._wire.ask("POST", "/runs/outputs", {"run_id": run, "models": models})

    def end_run(self, run: str, copy: RunCopy) -> None:
        """Sets how and when a run ended."""
        body: dict[str, Any] = {"run_id": run, "status": copy.status.upper()}
        if copy.ended_at is not None:
            body["end_time"] = wording.to_ms(copy.ended_at)
        if copy.status != "running" or copy.ended_at is not None:
            self._wire.ask("POST", "/runs/update", body)

    def set_tag(self, run: str, name: str, value: str) -> None:
        """Sets a run's tag."""
        self._wire.ask("POST", "/runs/set-tag", {"run_id": run, "key": name, "value": value})

    def delete_run(self, run: str) -> None:
        """Deletes a run."""
        self._wire.ask("POST", "/runs/delete", {"run_id": run})

    # ── files ────────────────────────────────────────────────────────────

    def put_files(self, root: str, files: Iterable[SourceFile]) -> tuple[Artifact, ...]:
        """Puts files where a run or a logged model has them; returns those that were put.

        A server that doesn't take files is told of once.

        Raises:
            CorruptData: If a file has another size than its store says.
        """
        if not root.startswith("mlflow-artifacts:"):
            if not self._unproxied and any(True for _ in files):
                self._unproxied = True
                self._tell(Trouble(root, "the server takes no files: files are left out"))
            return ()
        inside = root.removeprefix("mlflow-artifacts:").lstrip("/")
        if root.startswith("mlflow-artifacts://"):
            inside = inside.partition("/")[2]
        return tuple(self._put(f"{_PROXY}/{quote(posixpath.join(inside, one.path))}", one) for one in files)

    def _put(self, target: str, file: SourceFile) -> Artifact:
        hasher, size = new_digest(), 0

        def pieces() -> Iterator[bytes]:
            nonlocal size
            for piece in file.read():
                hasher.update(piece)
                size += len(piece)
                yield piece

        headers = {"content-type": "application/octet-stream"}
        if file.size:
            headers["content-length"] = str(file.size)
            body: bytes | Iterator[bytes] = pieces()
        else:
            body = b"".join(pieces())
        for _ in self._wire.raw("PUT", target, body, headers):
            pass
        if file.size is not None and file.size != size:
            raise CorruptData(f"the file has {size:,} bytes, and {file.size:,} by its store", where=file.path)
        return Artifact(file.path, hasher.hexdigest(), size)

    # ── models ───────────────────────────────────────────────────────────

    def create_model(
        self, model: LoggedModel, experiment: str, run: str, tags: Mapping[str, str]
    ) -> tuple[str, str]:
        """Makes a logged model; returns its identifier and where its files are."""
        body: dict[str, Any] = {
            "experiment_id": experiment,
            "name": model.name,
            "params": _texts(model.params),
            "tags": _texts(tags),
        }
        body |= {"model_type": model.model_type} if model.model_type else {}
        body |= {"source_run_id": run} if run else {}
        info = self._wire.ask("POST", "/logged-models", body)["model"]["info"]
        return str(info["model_id"]), str(info.get("artifact_uri") or "")

    def end_model(self, identity: str, model: LoggedModel, tags: Mapping[str, str]) -> None:
        """Sets what became of a logged model, and tags."""
        status = wording.model_status_name(model.status)
        if model.status in {"ready", "failed"}:
            body = {"model_id": identity, "status": status}
            self._wire.ask("PATCH", f"/logged-models/{quote(identity)}", body)
        self._wire.ask("PATCH", f"/logged-models/{quote(identity)}/tags", {"tags": _texts(tags)})

    def delete_model(self, identity: str) -> None:
        """Deletes a logged model."""
        self._wire.ask("DELETE", f"/logged-models/{quote(identity)}")

    # ── the registry ─────────────────────────────────────────────────────

    def registered_model(self, model: CatalogModel) -> None:
        """Makes a registered model; raises AlreadyExists if there is one of that name."""
        body = {"name": model.name, "description": model.description, "tags": _texts(model.tags)}
        self._wire.ask("POST", "/registered-models/create", body)

    def version(
        self, version: CatalogVersion, source: str, run: str, model: str, tags: Mapping[str, str]
    ) -> int:
        """Makes a version; returns its number."""
        body = {
            "name": version.model,
            "source": source,
            "run_link": version.run_link,
            "description": version.description,
            "tags": _texts(tags),
        }
        body |= {"run_id": run} if run else {}
        body |= {"model_id": model} if model else {}
        return int(self._wire.ask("POST", "/model-versions/create", body)["model_version"]["version"])

    def move_version(self, name: str, number: int, stage: str) -> None:
        """Moves a version to a stage."""
        body = {"name": name, "version": str(number), "stage": stage}
        self._wire.ask("POST", "/model-versions/transition-stage", body)

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Has an alias name a version."""
        body = {"name": name, "alias": alias, "version": str(number)}
        self._wire.ask("POST", "/registered-models/alias", body)


def check_server(wire: Wire) -> None:
    """Makes sure that a server speaks MLflow's protocol.

    Raises:
        NotFound: If it doesn't.
        Unavailable: If there is no answer.
    """
    try:
        wire.ask("POST", "/experiments/search", {"max_results": 1})
    except (NotFound, InvalidInput) as error:
        raise NotFound(
            f"that is no tracking server: {error.message}",
            where=wire.name,
            fix="name a server of MLflow's (`mlflow server`) or Treadle's (`treadle up`)",
        ) from None


def _texts(texts: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in texts.items()]


def _dataset(used: RunInput) -> dict[str, Any]:
    data = {"name": used.name, "digest": used.digest, "source_type": used.source_type, "source": used.source}
    more = {"schema": used.schema, "profile": used.profile}
    tags = dict(used.tags) | ({wording.CONTEXT_TAG: used.context} if used.context else {})
    return {"dataset": data | {k: v for k, v in more.items() if v is not None}, "tags": _texts(tags)}


def _points(name: str, curve: Curve) -> Iterator[dict[str, Any]]:
    at = (curve.at // 1000).astype(np.int64).tolist()
    for value, ms, step in zip(curve.values.tolist(), at, curve.steps.tolist(), strict=True):
        yield {"key": name, "value": _number(value), "timestamp": ms, "step": step}


def _number(value: float) -> float | str:
    """As JSON can have it: protobuf writes what is no number as a text."""
    if value != value:  # noqa: PLR0124 - NaN
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value
