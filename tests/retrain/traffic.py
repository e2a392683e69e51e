"""What a served model would have logged: predictions, and labels that fit them or don't."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from treadle.deploy import Deployments, DesiredRevision, ReplicaReport
from treadle.kernel.workspace import Workspace
from treadle.monitor import LabelBatch, PredictionBatch, PredictionLog
from treadle.monitor.segments import read_segment


def serve_and_label(
    workspace: Workspace, since: datetime, days: int = 7, *, reverse: bool = False, version: int = 1
) -> None:
    """Logs a hundred predictions a day and, five hours later, what came true.

    Args:
        workspace: Where a version of ``toy`` is in production.
        since: The first day.
        days: How many.
        reverse: Whether what was predicted to be likely was not.
        version: The version that predicted.
    """
    rng = np.random.default_rng(since.toordinal())
    n = 100 * days
    hour = rng.integers(0, 24, n).astype(float)
    carrier = rng.choice(["AA", "DL", "UA"], n)
    chance = np.clip(0.3 + (hour - 12) / 40 + (carrier == "UA") * 0.1, 0.02, 0.98)
    late = rng.random(n) < (np.clip(0.6 - chance, 0.02, 0.98) if reverse else chance)
    at = since.timestamp() + np.sort(rng.random(n)) * 86_400 * days
    ids = [f"{since:%m%d}-{i}" for i in range(n)]
    log = PredictionLog(workspace)
    log.append(
        "toy",
        PredictionBatch(
            batch=f"p{since:%m%d}",
            ids=ids,
            at=at.tolist(),
            version=[version] * n,
            revision=[1] * n,
            inputs={"hour": hour.tolist(), "carrier": carrier.tolist()},
            outputs=chance.tolist(),
            latency_ms=[1.0] * n,
        ),
    )
    known = (at + timedelta(hours=5).total_seconds()).tolist()
    log.append_labels(
        "toy", LabelBatch(batch=f"l{since:%m%d}", ids=ids, values=late.astype(float).tolist(), known_at=known)
    )


class Services:
    """A replica's platform: the services themselves."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._deployments = Deployments(workspace)
        self._log = PredictionLog(workspace)

    def report(self, report: ReplicaReport) -> DesiredRevision | None:
        return self._deployments.report(report)

    def fetch_blob(self, digest: str, path: Path) -> None:
        self._workspace.blobs.fetch(digest, path)

    def send_segment(self, model: str, segment: str, rows: int, data: bytes) -> None:
        self._log.append(model, read_segment(data, segment, rows))
