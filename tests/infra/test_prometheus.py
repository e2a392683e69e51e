"""The rules, as Prometheus' own `promtool` reads and evaluates them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from servers import program
from treadle.deploy.replica.metrics import Metrics
from treadle.infra import grafana, prometheus
from treadle.kernel.config import ObjectiveConfig

OBJECTIVE = ObjectiveConfig(p99_ms=50, availability=99.9)


def told() -> set[str]:
    """The names of all series that an inference server has."""
    names = {"treadle_model_info"}
    for family in Metrics([], lambda: 0, lambda: 0).collect():
        if isinstance(family, CounterMetricFamily):
            names.add(f"{family.name}_total")
        elif isinstance(family, HistogramMetricFamily):
            names |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
        else:
            names.add(family.name)
    return names


def rules(objective: ObjectiveConfig = OBJECTIVE, models: tuple[str, ...] = ("toy",)) -> list[dict[str, Any]]:
    found = yaml.safe_load(prometheus.render(objective, models))
    return [rule for group in found["groups"] for rule in group["rules"]]


def test_rules_and_dashboard_ask_for_series_that_there_are() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert len(recorded) == len([rule for rule in rules() if "record" in rule])
    asked = [rule["expr"] for rule in rules()]
    panels = json.loads(grafana.render("shop", OBJECTIVE))["panels"]
    asked += [target["expr"] for panel in panels for target in panel["targets"]]
    for expr in asked:
        names = set(re.findall(r"treadle_\w+|treadle:\w+:\w+", expr))
        assert names, expr
        assert names <= told() | recorded, expr


def test_alerts_follow_what_is_declared() -> None:
    def names(objective: ObjectiveConfig, *models: str) -> list[str]:
        return [rule["alert"] for rule in rules(objective, models) if "alert" in rule]

    always = ["TreadlePredictionsNotLogged", "TreadleModelFails"]
    assert names(ObjectiveConfig()) == always
    assert names(ObjectiveConfig(), "toy", "other") == ["TreadleModelAbsent"] * 2 + always
    assert names(OBJECTIVE, "toy") == [
        *["TreadleErrorBudgetBurns"] * 3, "TreadleSlow", "TreadleModelAbsent", *always
    ]  # fmt: skip
    (absent,) = (r for r in rules(OBJECTIVE, ('odd "name"',)) if r.get("alert") == "TreadleModelAbsent")
    assert absent["expr"] == 'absent(treadle_model_info{model="odd \\"name\\""})'


def test_a_dashboard_without_an_objective_shows_no_limit() -> None:
    with_limits, without = (json.loads(grafana.render("shop", one)) for one in (OBJECTIVE, ObjectiveConfig()))
    assert len(with_limits["panels"]) == len(without["panels"]) + 1, "there is no budget to use up"
    limits = [
        [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]][1:]
        for panel in with_limits["panels"]
    ]
    assert [limit for limit in limits if limit] == [[0.001], [0.05], [1.0]]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in with_limits["panels"]]
    assert len(set(places)) == len(places)


def promtool(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [program("promtool", package="prometheus"), *args]
    return subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)


def test_prometheus_takes_them(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(prometheus.render(OBJECTIVE, ["toy", 'odd "name"']))
    done = promtool("check", "rules", "rules.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert f"{len(rules(OBJECTIVE, ('toy', 'other')))} rules found" in done.stdout


@pytest.mark.parametrize(
    ("failing", "at", "raised"),
    [
        ("0x400", "2h", []),
        ("1x400", "2h", []),  # of 1,000 requests a minute: as promised, a burn rate of 1
        ("30x400", "2h", ["page 1h", "page 6h", "ticket 3d"]),  # 30 times too fast
        pytest.param("8x4400", "70h", ["page 6h", "ticket 3d"], marks=pytest.mark.soak),  # 8 times
        pytest.param("2x4400", "73h", ["ticket 3d"], marks=pytest.mark.soak),  # twice
        ("30x60 1830+0x200", "4h", ["ticket 3d"]),  # it is over: nobody is woken, the budget is gone
    ],
)
def test_alerts_are_raised_when_the_budget_burns(
    tmp_path: Path, failing: str, at: str, raised: list[str]
) -> None:
    (tmp_path / "rules.yml").write_text(prometheus.render(OBJECTIVE, ()))
    labels = 'model="toy",instance="a"'
    burns = 'ALERTS{alertname="TreadleErrorBudgetBurns",alertstate="firing"}'
    test = {
        "interval": "1m",
        "input_series": [
            {"series": f'treadle_requests_total{{code="200",{labels}}}', "values": "0+1000x4400"},
            {"series": f'treadle_requests_total{{code="500",{labels}}}', "values": f"0+{failing}"},
        ],
        "promql_expr_test": [
            {
                "expr": f"count by (severity, long) ({burns})",
                "eval_time": at,
                "exp_samples": [
                    {"labels": f'{{severity="{severity}",long="{long}"}}', "value": 1}
                    for severity, long in (one.split() for one in raised)
                ],
            }
        ],
    }
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "tests.yml").write_text(json.dumps(whole))
    done = promtool("test", "rules", "tests.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
