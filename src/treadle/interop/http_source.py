"""Runs on a tracking server that speaks MLflow's protocol: MLflow's own, or Treadle's."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np

from treadle.client import Transport
from treadle.experiment import Curve, ExperimentCopy, LoggedModel, ModelMetric, RunCopy
from treadle.experiment.types import ModelLink, portable
from treadle.interop import wording
from treadle.interop.types import Head, SourceFile, Tell, Trouble
from treadle.interop.wire import Wire
from treadle.interop.wording import dataset, version
from treadle.kernel.errors import InvalidInput, NotFound, TreadleError, Unavailable
from treadle.registry import CatalogModel, CatalogVersion, ImportCatalogModel

_PAGE, _POINTS = 1000, 25_000


class HttpSource:
    """A tracking server.

    Args:
        transport: How requests get there.
        name: What it is called in reports, and remembered by.
        tell: Hears of what can't be read.

    Raises:
        Unavailable: If there is no answer.
        NotFound: If that is no tracking server.
    """

    def __init__(self, transport: Transport, name: str, tell: Tell) -> None:
        self.name = name
        self._wire = Wire(transport, name)
        self._tell = tell
        self._runs: dict[str, dict[str, Any]] = {}
        self._experiments = list(self._wire.pages(self._search_experiments, "experiments"))

    def close(self) -> None:
        """Lets go of the connections."""
        self._wire.close()

    def _search_experiments(self, token: str | None) -> dict[str, Any]:
        asked = {"view_type": "ALL", "max_results": _PAGE, "page_token": token}
        try:
            return self._wire.ask("POST", "/experiments/search", {k: v for k, v in asked.items() if v})
        except NotFound:  # before MLflow 1.28
            return self._wire.ask("GET", "/experiments/list", view_type="ALL", page_token=token)

    # ── experiments and runs ─────────────────────────────────────────────

    def experiments(self) -> list[ExperimentCopy]:
        """All experiments, deleted ones too."""
        found = []
        for one in self._experiments:
            created = wording.moment_or_epoch(one.get("creation_time"))
            found.append(
                ExperimentCopy(
                    id=str(one["experiment_id"]),
                    name=one["name"],
                    lifecycle=wording.lifecycle(one.get("lifecycle_stage")),
                    created_at=created,
                    updated_at=wording.moment(one.get("last_update_time")) or created,
                    tags=_texts(one.get("tags")),
                )
            )
        return found

    def heads(self, experiment: str) -> Iterator[Head]:
        """The runs of an experiment, deleted ones too."""

        def search(token: str | None) -> dict[str, Any]:
            asked = {"experiment_ids": [experiment], "run_view_type": "ALL", "max_results": _PAGE}
            return self._wire.ask("POST", "/runs/search", asked | ({"page_token": token} if token else {}))

        for found in self._wire.pages(search, "runs"):
            info = found["info"]
            run = info.get("run_id") or info["run_uuid"]
            self._runs = {run: found}
            stamp = " ".join(str(info.get(name)) for name in ("status", "end_time", "lifecycle_stage"))
            data = found.get("data", {})
            counts = " ".join(str(len(data.get(name, ()))) for name in ("metrics", "params", "tags"))
            running = str(info.get("status", "RUNNING")).lower() in wording.GOING_ON
            yield Head(run, "" if running else f"{stamp} {counts}")

    def run(self, run: str) -> RunCopy | None:
        """The run whose head came last, without its files; None if it can't be read."""
        found = self._runs[run]
        info, data = found["info"], found.get("data", {})
        try:
            tags = _texts(data.get("tags"))
            return RunCopy(
                id=run,
                experiment=str(info["experiment_id"]),
                name=wording.run_name(info.get("run_name"), tags, run),
                user=info.get("user_id") or "",
                status=wording.run_status(info.get("status", "RUNNING")),
                lifecycle=wording.lifecycle(info.get("lifecycle_stage")),
                started_at=wording.moment_or_epoch(info.get("start_time")),
                ended_at=wording.moment(info.get("end_time") or None),
                params=_texts(data.get("params")),
                tags=tags,
                inputs=tuple(
                    dataset(one["dataset"], _texts(one.get("tags")))
                    for one in found.get("inputs", {}).get("dataset_inputs", ())
                ),
                models=tuple(_links(found)),
            )
        except (TreadleError, KeyError, ValueError) as error:
            self._tell(Trouble(f"run {run}", str(error)))
            return None

    def curves(self, run: str) -> Iterator[tuple[str, Curve]]:
        """A run's curves, each by time and step."""
        for one in self._runs[run].get("data", {}).get("metrics", ()):
            name = one["key"]
            points = list(self._wire.pages(self._history(run, name), "metrics"))
            yield (
                name,
                Curve(
                    np.array([float(p.get("value", 0.0)) for p in points], np.float64),
                    np.array([int(p.get("timestamp", 0)) * 1000 for p in points], np.int64),
                    np.array([int(p.get("step", 0)) for p in points], np.int64),
                ),
            )

    def _history(self, run: str, name: str) -> Callable[[str | None], dict[str, Any]]:
        return lambda token: self._wire.ask(
            "GET", "/metrics/get-history", run_id=run, metric_key=name, max_results=_POINTS, page_token=token
        )

    # ── files ────────────────────────────────────────────────────────────

    def files(self, run: str) -> Iterable[SourceFile] | None:
        """A run's files, through the server if it hands them out."""
        root = str(self._runs[run]["info"].get("artifact_uri") or "")

        def listing(path: str) -> list[dict[str, Any]]:
            def ask(token: str | None) -> dict[str, Any]:
                return self._wire.ask(
                    "GET", "/artifacts/list", run_id=run, path=path or None, page_token=token
                )

            return list(self._wire.pages(ask, "files"))

        query = urlencode({"run_uuid": run})
        return self._walked(root, listing, lambda path: f"/get-artifact?{query}&{urlencode({'path': path})}")

    def model_files(self, model: LoggedModel) -> Iterable[SourceFile] | None:
        """A logged model's files, through the server if it hands them out."""

        def listing(path: str) -> list[dict[str, Any]]:
            where = f"/logged-models/{quote(model.id)}/artifacts/directories"

            def ask(token: str | None) -> dict[str, Any]:
                return self._wire.ask("GET", where, artifact_directory_path=path or None, page_token=token)

            return list(self._wire.pages(ask, "files"))

        one = f"/ajax-api/2.0/mlflow/logged-models/{quote(model.id)}/artifacts/files"
        return self._walked(
            model.artifacts, listing, lambda path: f"{one}?{urlencode({'artifact_file_path': path})}"
        )

    def _walked(
        self, root: str, listing: Callable[[str], list[dict[str, Any]]], target: Callable[[str], str]
    ) -> list[SourceFile] | None:
        proxied = root.startswith("mlflow-artifacts:")
        inside = root.removeprefix("mlflow-artifacts:").lstrip("/") if proxied else ""
        if proxied and root.startswith("mlflow-artifacts://"):
            inside = inside.partition("/")[2]

        def address(path: str) -> str:
            if proxied:
                return f"/api/2.0/mlflow-artifacts/artifacts/{quote(posixpath.join(inside, path))}"
            return target(path)

        def walk(folder: str) -> Iterator[SourceFile]:
            for one in listing(folder):
                path = one["path"]
                if one.get("is_dir"):
                    yield from walk(path)
                else:
                    yield SourceFile(path, _size(one), partial(self._wire.raw, "GET", address(path)))

        try:
            return list(walk(""))
        except (NotFound, InvalidInput, Unavailable) as error:
            self._tell(Trouble(root, f"the server doesn't list the files: {error.message}"))
            return None

    # ── models ───────────────────────────────────────────────────────────

    def logged_models(self, experiment: str) -> Iterator[LoggedModel]:
        """The logged models of an experiment; a server doesn't tell of deleted ones."""

        def search(token: str | None) -> dict[str, Any]:
            asked = {"experiment_ids": [experiment], "max_results": 50}
            return self._wire.ask(
                "POST", "/logged-models/search", asked | ({"page_token": token} if token else {})
            )

        try:
            for found in self._wire.pages(search, "models"):
                yield _logged_model(found, experiment)
        except NotFound:
            return  # before MLflow 3

    def registered_models(self) -> Iterator[ImportCatalogModel]:
        """The registered models with their versions."""

        def models(token: str | None) -> dict[str, Any]:
            return self._wire.ask("GET", "/registered-models/search", max_results=_PAGE, page_token=token)

        try:
            found = list(self._wire.pages(models, "registered_models"))
        except (NotFound, InvalidInput) as error:
            self._tell(Trouble(self.name, f"the server has no registry: {error.message}"))
            return
        for one in found:
            created = wording.moment_or_epoch(one.get("creation_timestamp"))
            # Where a server's answer has an alias on each version as well, this has it once.
            yield ImportCatalogModel(
                model=CatalogModel(
                    name=one["name"],
                    created_at=created,
                    updated_at=wording.moment(one.get("last_updated_timestamp")) or created,
                    description=one.get("description") or "",
                    tags=_texts(one.get("tags")),
                    aliases={alias["alias"]: int(alias["version"]) for alias in one.get("aliases", ())},
                ),
                versions=tuple(self._versions(one["name"])),
            )

    def _versions(self, name: str) -> Iterator[CatalogVersion]:
        escaped = name.replace("'", "''")
        where = f'name="{name}"' if "'" in name else f"name='{escaped}'"

        def search(token: str | None) -> dict[str, Any]:
            return self._wire.ask(
                "GET", "/model-versions/search", filter=where, max_results=_PAGE, page_token=token
            )

        for found in self._wire.pages(search, "model_versions"):
            uri = self._wire.ask(
                "GET", "/model-versions/get-download-uri", name=name, version=found["version"]
            )
            yield version(found | {"storage_location": uri.get("artifact_uri")}, _texts(found.get("tags")))


def _logged_model(found: dict[str, Any], experiment: str) -> LoggedModel:
    info, data = found["info"], found.get("data", {})
    created = wording.moment_or_epoch(info.get("creation_timestamp_ms"))
    return LoggedModel(
        id=info["model_id"],
        experiment=experiment,
        name=info["name"],
        artifacts=info.get("artifact_uri") or "",
        status=wording.model_status(info.get("status", 0)),
        message=info.get("status_message"),
        model_type=info.get("model_type") or "",
        run=info.get("source_run_id") or "",
        created_at=created,
        updated_at=wording.moment(info.get("last_updated_timestamp_ms")) or created,
        params=_texts(data.get("params")),
        tags=_texts(info.get("tags")),
        metrics=tuple(
            ModelMetric(
                model=info["model_id"],
                name=one["key"],
                at=int(one["timestamp"]) * 1000,
                value=portable(float(one.get("value", 0.0))),
                step=int(one.get("step", 0)),
                run=one.get("run_id") or "",
                dataset_name=one.get("dataset_name") or "",
                dataset_digest=one.get("dataset_digest") or "",
            )
            for one in data.get("metrics", ())
        ),
    )


def _links(found: dict[str, Any]) -> Iterator[ModelLink]:
    for one in found.get("inputs", {}).get("model_inputs", ()):
        yield ModelLink(one["model_id"], "input", int(one.get("step", 0)))
    for one in found.get("outputs", {}).get("model_outputs", ()):
        yield ModelLink(one["model_id"], "output", int(one.get("step", 0)))


def _texts(found: Any) -> dict[str, str]:
    return {one["key"]: str(one.get("value", "")) for one in found or ()}


def _size(one: dict[str, Any]) -> int | None:
    size = one.get("file_size")
    return None if size is None else int(size)
