"""A Grafana dashboard of what inference servers tell Prometheus (dashboard schema 39). Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from treadle.kernel.config import ObjectiveConfig


class _Panel(NamedTuple):
    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    limit: float | None = None
    kind: str = "timeseries"


_OF = 'model=~"$model"'
_WIDTH, _HEIGHT = 12, 8


def _panels(objective: ObjectiveConfig) -> list[_Panel]:
    slow = objective.p99_ms / 1000 if objective.p99_ms else None
    budget = round(1 - objective.availability / 100, 12) if objective.availability else None

    def batches(part: str) -> str:
        return f"sum by (model) (rate(treadle_batch_rows_{part}{{{_OF}}}[5m]))"

    return [
        _Panel("Requests", "reqps", [(f"treadle:requests:rate5m{{{_OF}}}", "{{model}} {{code}}")]),
        _Panel(
            "Failed requests",
            "percentunit",
            [(f"treadle:errors:ratio_rate5m{{{_OF}}}", "{{model}}")],
            budget,
        ),
        _Panel(
            "Time to answer",
            "s",
            [
                (f"treadle:request_seconds:{name}{{{_OF}}}", f"{{{{model}}}} {name}")
                for name in ("p50", "p99")
            ],
            slow,
        ),
        _Panel(
            "Error budget used up, per window",
            "none",
            [
                (f"treadle:errors:ratio_rate{window}{{{_OF}}} / {budget:.6g}", f"{{{{model}}}} {window}")
                for window in ("1h", "6h", "3d")
            ]
            if budget
            else [],
            1.0,
        ),
        _Panel(
            "Rows predicted",
            "rowsps",
            [(f"sum by (model) (rate(treadle_rows_total{{{_OF}}}[5m]))", "{{model}}")],
        ),
        _Panel("Rows predicted together", "none", [(f"{batches('sum')} / {batches('count')}", "{{model}}")]),
        _Panel(
            "Waiting, and in hand",
            "none",
            [
                ("treadle_queue_length", "waiting {{instance}}"),
                ("treadle_requests_in_hand", "in hand {{instance}}"),
            ],
        ),
        _Panel("Memory", "bytes", [("treadle_memory_bytes", "{{instance}}")]),
        _Panel(
            "Predictions on their way to the log",
            "bytes",
            [(f"treadle_journal_bytes{{{_OF}}}", "{{model}} {{instance}}")],
        ),
        _Panel(
            "Versions that serve",
            "none",
            [(f"treadle_model_info{{{_OF}}}", "{{model}}/{{version}}, revision {{revision}}, {{instance}}")],
        ),
    ]


def render(project: str, objective: ObjectiveConfig) -> str:
    """The dashboard, to be imported into Grafana or provisioned as a file."""
    panels = [_panel(place, one) for place, one in enumerate(p for p in _panels(objective) if p.queries)]
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    model = {
        "name": "model",
        "label": "Model",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(treadle_model_info, model)", "refId": "model"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }
    dashboard = {
        "title": f"Treadle: {project}",
        "uid": f"treadle-{project}"[:40],
        "tags": ["treadle"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source, model]},
        "annotations": {"list": []},
        "panels": panels,
    }
    return json.dumps(dashboard, indent=2) + "\n"


_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _panel(place: int, panel: _Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    return {
        "id": place + 1,
        "title": panel.title,
        "type": panel.kind,
        "datasource": _SOURCE,
        "gridPos": {
            "x": place % 2 * _WIDTH,
            "y": place // 2 * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
        },
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": {"thresholdsStyle": {"mode": "line" if panel.limit is not None else "off"}},
            },
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
            for number, (query, legend) in enumerate(panel.queries)
        ],
    }
