"""What of MLflow's protocol is not offered yet, and what to use instead."""

from __future__ import annotations

import treadle
from treadle.api.mlflow.errors import answer

# The protocol's version that clients may rely on.
PROTOCOL = "3.17.2"

NOT_OFFERED = {
    "/traces": "tracing is not offered yet: send OpenTelemetry to a collector",
    "/prompts": "prompts are not offered yet: keep them as artifacts of a run",
    "/gateway": "the AI gateway is not offered: call the provider's own client",
    "/workspaces": "workspaces are not offered: use a Treadle project each",
    "/datasets": "evaluation datasets are not offered yet: log them as inputs of a run",
    "/scorers": "scorers are not offered yet: `[checks]` in treadle.toml judges models",
    "/webhooks": "webhooks are not offered yet: `[monitor] webhook` in treadle.toml posts alerts",
    "/assessments": "assessments are not offered yet: log them as tags or metrics",
}


def explain(path: str, method: str = "GET") -> tuple[int, bytes]:
    """The answer to a request that no route takes."""
    if path == "/version":
        return 200, PROTOCOL.encode()
    if path == "/health":
        return 200, b"OK"
    for prefix, why in NOT_OFFERED.items():
        if path.startswith(prefix):
            return answer(
                "NOT_IMPLEMENTED", f"{why} (Treadle {treadle.__version__}, docs/reference/mlflow.md)"
            )
    return answer(
        "ENDPOINT_NOT_FOUND", f"there is no {method} {path} in the part of MLflow's protocol offered here"
    )
