"""A small world: a model with two inputs, its registered versions, and traffic made by a seed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from meanwhile import on_postgres  # noqa: F401
from servers import (  # noqa: F401
    full_disk,
    metadata_url,
    postgres_server,
    postgres_url,
    s3,
    s3_server,
)
from treadle.data.types import DataInput, SliceSpec
from treadle.evaluate import estimate
from treadle.kernel.workspace import Workspace
from treadle.monitor import LabelBatch, PredictionBatch, build_profile, profile_segments
from treadle.registry import Field, ModelFile, ModelVersion, NewVersion, Registry, Signature

START = datetime(2026, 1, 1, tzinfo=UTC)
SIGNATURE = Signature((Field("hour", "float"), Field("carrier", "string")), "probability")
CARRIERS = np.array(["AA", "UA", "DL", "WN"])
SHARES = (0.4, 0.3, 0.2, 0.1)


def rows(rng: np.random.Generator, n: int, drift: float = 0.0, decay: float = 0.0) -> dict[str, Any]:
    """Rows whose label depends on the hour; ``drift`` moves the hours, ``decay`` hides the dependence."""
    hour = rng.normal(12 + drift, 3, n)
    score = 1 / (1 + np.exp(-(hour - 12) / 3))
    truth = np.where(rng.random(n) < decay, score.mean(), score)
    return {
        "hour": hour,
        "carrier": rng.choice(CARRIERS, n, p=SHARES),
        "output": score,
        "label": (rng.random(n) < truth).astype(float),
    }


class World:
    """What the tests need of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.rng = np.random.default_rng(7)
        self.sent = 0

    def train(self, n: int = 20_000) -> Path:
        found = rows(self.rng, n)
        path = self.workspace.root / "train.parquet"
        columns = {name: found[name] for name in ("hour", "carrier")}
        self.workspace.engine.write_parquet(path, "SELECT * FROM t", (), {"t": columns})
        return path

    def profile(self, metric: str = "roc_auc", value: float | None = None) -> bytes:
        held = rows(self.rng, 5000)
        reached = estimate(metric, held["label"], held["output"]).value if value is None else value
        engine, train = self.workspace.engine, self.train()
        profile = build_profile(engine, train, ["hour", "carrier"], held["output"], metric, reached)
        segments = self.workspace.config.monitor.segments
        return msgspec.json.encode(profile_segments(engine, train, profile, segments))

    def register(
        self,
        *,
        run: str = "run_1",
        model: str = "toy",
        signature: Signature = SIGNATURE,
        promote: bool = True,
        spec: SliceSpec | None = None,
        **profile: Any,
    ) -> ModelVersion:
        """Registers a version and puts it into production at the workspace's time."""
        blobs, registry = self.workspace.blobs, Registry(self.workspace)
        names = ("model.onnx", "signature.json", "example.json")
        files = tuple(ModelFile(name, blobs.put(name.encode()), len(name)) for name in names)
        spec = spec or SliceSpec(dataset="rows", version="d" * 64)
        version = registry.register(
            NewVersion(
                model=model,
                run=run,
                recipe="r" * 64,
                code="c" * 64,
                environment="e" * 64,
                seed=0,
                data=(DataInput(role="train", spec=spec, number=1, digest="e" * 64, rows=9),),
                params={"depth": 3},
                metrics={"roc_auc": 0.7},
                signature=signature,
                files=files,
                evaluations=("eval_1",),
                profile=blobs.put(self.profile(**profile)),
                serve={"port": "8100"},
            )
        )
        if promote:
            registry.promote(
                model, version.number, actor="test", reason="test", key=f"promote:{run}", outcome="pass"
            )
        return version

    def traffic(
        self,
        day: int,
        n: int = 200,
        *,
        days: int = 1,
        version: int = 1,
        delay: timedelta = timedelta(hours=5),
        drift: float = 0.0,
        decay: float = 0.0,
    ) -> tuple[PredictionBatch, LabelBatch]:
        """Predictions and labels of some days from the start, ``n`` a day."""
        n *= days
        found = rows(self.rng, n, drift, decay)
        self.sent += 1
        since = (START + timedelta(days=day)).timestamp()
        at = np.sort(since + self.rng.random(n) * 86_400 * days)
        ids = [f"b{self.sent}_{i}" for i in range(n)]
        predictions = PredictionBatch(
            batch=f"p{self.sent}",
            ids=ids,
            at=at.tolist(),
            version=[version] * n,
            revision=[version] * n,
            inputs={"hour": found["hour"].tolist(), "carrier": found["carrier"].tolist()},
            outputs=found["output"].tolist(),
            latency_ms=[1.5] * n,
        )
        known = (at + delay.total_seconds()).tolist()
        labels = LabelBatch(batch=f"l{self.sent}", ids=ids, values=found["label"].tolist(), known_at=known)
        return predictions, labels


@pytest.fixture
def world(workspace: Workspace) -> World:
    """The world, before its first version."""
    workspace.clock.at = START - timedelta(days=1)  # type: ignore[attr-defined]
    return World(workspace)
