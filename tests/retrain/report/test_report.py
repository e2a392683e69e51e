"""The report: what it gathers, that its pictures are pictures, and that no name breaks out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from retrain.traffic import serve_and_label
from retrain.wheel import FIRST, SECOND, make, opened, turn
from treadle.evaluate import Evaluation, Verdict, forest
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import NotFound
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.monitor import Alert, Incident, Monitors, WindowResult
from treadle.retrain import Cycle, Cycles, Reign, Stage, Trigger, render_report
from treadle.retrain.report import charts
from treadle.retrain.report.facts import Facts, Turn, gather
from treadle.retrain.report.page import render

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
EVIL = "<script>alert('&\"')</script>]]>"
CHARTS = (charts.production, charts.performance, charts.rates, charts.drift, charts.cost)


def window(kind: Any, subject: str, week: int, state: Any = "ok", **changes: Any) -> WindowResult:
    known: dict[str, Any] = {
        "model": "toy",
        "kind": kind,
        "subject": subject,
        "since": NOON + 7 * week * DAY,
        "until": NOON + 7 * (week + 1) * DAY,
        "version": 1,
        "state": state,
        "statistic": "psi",
        "value": 0.05 * week,
        "n": 700,
        "sentence": f"{subject} in week {week} {EVIL}",
    }
    return WindowResult(**{**known, **changes})


def performance(week: int, **changes: Any) -> WindowResult:
    known = {
        "value": 0.7,
        "low": 0.66,
        "high": 0.74,
        "limit": 0.65,
        "base_rate": 0.3,
        "mean_prediction": 0.31,
    }
    return window("performance", "roc_auc", week, **{**known, **changes})


def verdict(subject: str, outcome: Any, low: float | None = -0.01) -> Verdict:
    return Verdict(
        check="no_worse",
        subject=subject,
        outcome=outcome,
        sentence=f"{subject}: {EVIL}",
        estimate=0.01,
        low=low,
        high=0.03,
        bound=-0.02,
    )


def facts(**changes: Any) -> Facts:
    """A history in which everything has happened, and every text is hostile."""
    trigger = Trigger(kind="alert", actor=EVIL, reason=EVIL, alert="a")
    stage = Stage(name="data", state="done", started_at=NOON, ended_at=NOON + DAY, summary=EVIL)
    ends = ("promoted", "refused", "held", "failed", "unchanged", "running")
    cycles = [
        Cycle(
            id=f"cycle_{number}",
            model="toy",
            goal="deploy",
            trigger=trigger,
            as_of=NOON + number * 3 * DAY,
            state=end,
            stages=(stage,),
            started_at=NOON,
            version=number,
            cpu_seconds=number * 2.5,
            error=EVIL if end == "failed" else None,
        )
        for number, end in enumerate(ends, 1)
    ]
    verdicts = (
        verdict("overall", "pass"),
        verdict(f"carrier={EVIL}", "fail"),
        verdict("x", "inconclusive", None),
    )
    evaluation = Evaluation(id="e", kind="model", at=NOON, outcome="fail", verdicts=verdicts, subject="run_1")
    known: dict[str, Any] = {
        "model": EVIL,
        "metric": EVIL,
        "confidence": 0.95,
        "now": NOON + 30 * DAY,
        "since": NOON,
        "until": NOON + 28 * DAY,
        "reigns": [
            Reign(version=1, since=NOON, until=NOON + 9 * DAY, actor=EVIL, reason=EVIL, cpu_seconds=1.0),
            Reign(version=2, since=NOON + 9 * DAY, until=None, actor="ada", reason=EVIL),
        ],
        "versions": [],
        "performance": [
            performance(0),
            performance(1, state="alert", value=0.6),
            performance(2, version=2, low=None, high=None, limit=None),
            performance(3, version=2, state="inconclusive", value=None, base_rate=None, mean_prediction=None),
        ],
        "inputs": {
            EVIL: [window("input", EVIL, week, "alert" if week == 3 else "ok") for week in range(4)],
            "hour": [window("input", "hour", 0, "inconclusive", value=None)],
        },
        "apart": [
            window("fairness", "sex", 3, "alert", segment=f"sex={EVIL}", statistic="equal_opportunity"),
            performance(3, segment="carrier=UA", statistic="roc_auc"),
        ],
        "prediction": [window("prediction", "prediction", week, value=0.3) for week in range(4)],
        "alerts": [
            Alert(id="a", model="toy", kind="input", at=NOON, subjects=(EVIL,), sentence=EVIL, version=1)
        ],
        "incidents": [
            Incident(
                id="toy-1",
                model="toy",
                number=1,
                version=1,
                state="resolved",
                severity="warning",
                title=f"the first {EVIL}",
                since=NOON,
                opened_at=NOON,
                last_at=NOON,
                kinds=("input",),
                subjects=(EVIL,),
                resolved_at=NOON + DAY,
                resolved_by=EVIL,
                note="a new season",
            )
        ],
        "turns": [Turn(cycle, (evaluation,)) for cycle in cycles],
        "not_started": [
            Event(
                "e",
                NOON,
                NOON,
                "model:toy",
                "held_back",
                "trigger:x",
                f"no cycle was started: {EVIL}",
                {"trigger": EVIL, "because": f"it was Monday {EVIL}", "cause": "budget"},
            )
        ],
        "predictions": 12_345,
        "cpu_seconds": 99.0,
    }
    return Facts(**{**known, **changes})


def parsed(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    assert root.tag in {"svg", "p"}
    for element in root.iter():
        for name in ("x", "y", "width", "height", "x1", "x2", "y1", "y2", "cx", "cy"):
            if name in element.attrib:
                assert abs(float(element.attrib[name])) < 10_000
        assert element.tag != "script"
    return root


def texts(root: ET.Element) -> str:
    return " ".join(root.itertext())


NOTHING = {
    name: {} if name == "inputs" else []
    for name in (
        "reigns",
        "performance",
        "inputs",
        "prediction",
        "apart",
        "alerts",
        "incidents",
        "turns",
        "not_started",
    )
}


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        NOTHING,
        {"until": NOON, "now": NOON},
        {"since": NOON - 3000 * DAY},
        {
            "performance": [
                performance(0, value=0.0, low=0.0, high=0.0, limit=0.0, base_rate=0, mean_prediction=0)
            ]
        },
        {"performance": [performance(n, value=v) for n, v in enumerate((1e-12, 5e8, -3.0))]},
    ],
    ids=["all", "nothing", "a-moment", "years", "zeros", "extremes"],
)
def test_every_chart_is_a_picture(chart: Callable[[Facts], str], changes: dict[str, Any]) -> None:
    parsed(chart(facts(**changes)))


def test_the_charts_show_what_there_is() -> None:
    found = facts()
    bars = list(parsed(charts.production(found)).iter("rect"))
    assert [bar.attrib["fill"] for bar in bars] == [charts.colour(1), charts.colour(2)]
    shown = parsed(charts.performance(found))
    rings = [dot for dot in shown.iter("circle") if dot.get("stroke")]
    assert len(list(shown.iter("circle"))) == 3  # the window without a value has no dot
    assert len(rings) == 1
    assert len(list(parsed(charts.drift(found)).iter("rect"))) == 4 + 1 + 4
    assert [bar.attrib["width"] for bar in parsed(charts.cost(found)).iter("rect")][-1] == "560.0"
    rows = parsed(forest(found.turns[0].evaluations[0].verdicts))
    assert len(list(rows.iter("circle"))) == 2  # one has no interval
    assert "+0.0100 [-0.0100, +0.0300]" in texts(rows)
    assert forest([]) == ""


def test_marks_lie_where_their_time_is() -> None:
    x = charts._time(facts())
    assert x(NOON) == charts.LEFT
    assert x(NOON + 28 * DAY) == charts.WIDTH - charts.RIGHT
    assert x(NOON - DAY) == charts.LEFT
    assert x(NOON + 14 * DAY) == pytest.approx((charts.LEFT + charts.WIDTH - charts.RIGHT) / 2)


class Page(HTMLParser):
    """What a browser would make of the page, as far as matters here."""

    VOID = ("meta", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_together_and_no_name_breaks_out() -> None:
    page = Page(render(facts()))
    assert page.open == []
    assert "script" not in page.tags
    assert page.links == []  # self-contained
    assert page.tags.count("svg") == 5 + 6
    assert EVIL in page.text
    assert "12,345" in page.text
    for told in ("Segments and groups", "equal opportunity", "carrier=UA", "0.66 to 0.74"):
        assert told in page.text
    for told in ("toy-1", "a new season", "1 cycle not started, and why", "it was Monday"):
        assert told in page.text
    for end in ("promoted as v1", "refused", "held", "failed", "unchanged", "running"):
        assert end in page.text


def test_a_page_without_anything_says_so() -> None:
    page = Page(render(facts(**NOTHING)))
    assert page.open == []
    assert "No cycle has run yet." in page.text
    assert "No window has enough labels yet." in page.text


@pytest.fixture
def year(tmp_path: Path, clock: ManualClock) -> Iterator[Workspace]:
    """Two versions, a week of traffic, an experiment."""
    with opened(make(tmp_path / "year", replicas="1"), clock) as workspace:
        clock.at = FIRST
        turn(workspace)
        serve_and_label(workspace, FIRST + DAY, reverse=True)
        clock.at = FIRST + 8 * DAY
        Monitors(workspace).evaluate("toy", clock.at)
        clock.at = SECOND
        turn(workspace, goal="train", params={"depth": 4})
        turn(workspace)
        yield workspace


def test_the_report_tells_what_the_rooms_know(year: Workspace) -> None:
    found = gather(year, "toy")
    assert [version.number for version in found.versions] == [1, 2]
    assert [(reign.version, reign.until) for reign in found.reigns] == [(1, SECOND), (2, None)]
    assert [turn.cycle.state for turn in found.turns] == ["promoted", "promoted"]
    assert [e.kind for e in found.turns[0].evaluations] == ["data", "model"]
    assert set(found.inputs) == {"hour", "carrier"}
    assert len(found.performance) == len(found.prediction) == 1
    assert found.predictions == 700
    assert found.cpu_seconds == pytest.approx(sum(c.cpu_seconds for c in Cycles(year).list()))
    assert found.since <= FIRST
    assert found.until == SECOND
    page = Page(render_report(year, "toy"))
    assert page.open == []
    assert "700" in page.text
    for sentence in [alert.sentence for alert in found.alerts] + [v.reason for v in found.reigns]:
        assert sentence in page.text


def test_before_the_first_version_there_is_nothing_to_tell(workspace: Workspace) -> None:
    with pytest.raises(NotFound, match="toy has no version yet"):
        render_report(workspace, "toy")
