"""Recording and alerting rules for Prometheus, from the service level that ``treadle.toml`` declares. Pure.

The burn rates are those of Google's *Site Reliability Workbook*, chapter 5
(https://sre.google/workbook/alerting-on-slos/), over the same windows that `treadle deploy status` shows.
The file is YAML as Prometheus reads it; every text in it is quoted as JSON, which is YAML.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from treadle.kernel.config import ObjectiveConfig


class Rule(NamedTuple):
    """One rule.

    Attributes:
        name: Of the series that it records, or of the alert that it raises.
        expr: In PromQL.
        severity: Of an alert; None of a rule that records.
        lasting: How long it must hold before the alert is raised.
        summary: What the alert says.
        fix: What to do next.
        apart: A label and its value that tell alerts of one name apart.
    """

    name: str
    expr: str
    severity: Literal["page", "ticket"] | None = None
    lasting: str = ""
    summary: str = ""
    fix: str = ""
    apart: tuple[str, str] | None = None


class _Burn(NamedTuple):
    severity: Literal["page", "ticket"]
    rate: float
    long: str
    short: str


_BURNS = (
    _Burn("page", 14.4, "1h", "5m"),
    _Burn("page", 6, "6h", "30m"),
    _Burn("ticket", 1, "3d", "6h"),
)
WINDOWS = ("5m", "30m", "1h", "6h", "3d")
_QUANTILES = ((0.5, "p50"), (0.99, "p99"))


def recorded() -> list[Rule]:
    """Series that are worth keeping: rates, shares of errors, quantiles."""
    rules = [Rule("treadle:requests:rate5m", "sum by (model, code) (rate(treadle_requests_total[5m]))")]
    for window in WINDOWS:
        failed = f'sum by (model) (rate(treadle_requests_total{{code=~"5.."}}[{window}]))'
        total = f"sum by (model) (rate(treadle_requests_total[{window}]))"
        # A model without any failed request has no such series: its share of errors is 0, not absent.
        rules.append(Rule(f"treadle:errors:ratio_rate{window}", f"({failed} or 0 * {total}) / {total}"))
    for quantile, name in _QUANTILES:
        buckets = "sum by (model, le) (rate(treadle_request_seconds_bucket[5m]))"
        rules.append(Rule(f"treadle:request_seconds:{name}", f"histogram_quantile({quantile}, {buckets})"))
    return rules


def alerting(objective: ObjectiveConfig, models: Sequence[str]) -> list[Rule]:
    """Alerts: a budget that burns, answers that are slow, a model that nobody serves, a log with gaps."""
    return [
        *_burning(objective),
        *_slow(objective),
        *(
            Rule(
                "TreadleModelAbsent",
                f"absent(treadle_model_info{{model={json.dumps(model)}}})",
                "page",
                "1m",
                f"nothing serves {model}",
                f"treadle deploy status {model}",
                ("model", model),
            )
            for model in models
        ),
        Rule(
            "TreadlePredictionsNotLogged",
            "sum by (model) (increase(treadle_unlogged_rows_total[15m])) > 0",
            "ticket",
            "",
            "{{ $value | humanize }} predictions of {{ $labels.model }} were answered and not logged",
            "look at the disk of the inference server, and at its log",
        ),
        Rule(
            "TreadleModelFails",
            "sum by (model) (rate(treadle_model_failures_total[5m])) > 0",
            "ticket",
            "10m",
            "{{ $labels.model }} keeps failing at sound requests",
            "treadle deploy rollback {{ $labels.model }}",
        ),
    ]


def _burning(objective: ObjectiveConfig) -> Iterator[Rule]:
    if objective.availability is None:
        return
    budget = round(1 - objective.availability / 100, 12)
    for burn in _BURNS:
        limit = f"{burn.rate * budget:.6g}"
        both = [f"treadle:errors:ratio_rate{window} > {limit}" for window in (burn.long, burn.short)]
        yield Rule(
            "TreadleErrorBudgetBurns",
            " and ".join(both),
            burn.severity,
            "",
            f"{{{{ $labels.model }}}} burns its error budget {burn.rate:g} times too fast, "
            f"over {burn.long} and {burn.short}: {{{{ $value | humanizePercentage }}}} of requests fail, "
            f"and {budget:.3%} may",
            "treadle deploy status {{ $labels.model }}; treadle deploy rollback {{ $labels.model }}",
            ("long", burn.long),
        )


def _slow(objective: ObjectiveConfig) -> Iterator[Rule]:
    if objective.p99_ms is not None:
        yield Rule(
            "TreadleSlow",
            f"treadle:request_seconds:p99 > {objective.p99_ms / 1000:g}",
            "page",
            "5m",
            f"{{{{ $labels.model }}}} answers 1 of 100 requests later than the {objective.p99_ms:g} ms "
            "that are promised: the 99th percentile is {{ $value | humanizeDuration }}",
            "treadle deploy status {{ $labels.model }}",
        )


def render(objective: ObjectiveConfig, models: Sequence[str]) -> str:
    """The file of rules."""
    lines = [
        "# Made by `treadle infra prometheus` from treadle.toml; make it anew rather than change it.",
        "groups:",
        *_group("treadle-recording", recorded()),
        *_group("treadle-alerts", alerting(objective, models)),
    ]
    return "\n".join(lines) + "\n"


def _group(name: str, rules: Sequence[Rule]) -> Iterator[str]:
    yield f"  - name: {name}"
    yield "    rules:"
    for rule in rules:
        if rule.severity is None:
            yield f"      - record: {rule.name}"
            yield f"        expr: {json.dumps(rule.expr)}"
            continue
        yield f"      - alert: {rule.name}"
        yield f"        expr: {json.dumps(rule.expr)}"
        if rule.lasting:
            yield f"        for: {rule.lasting}"
        yield "        labels:"
        yield f"          severity: {rule.severity}"
        if rule.apart:
            yield f"          {rule.apart[0]}: {json.dumps(rule.apart[1])}"
        yield "        annotations:"
        yield f"          summary: {json.dumps(rule.summary)}"
        yield f"          next: {json.dumps(rule.fix)}"
