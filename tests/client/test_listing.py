from __future__ import annotations

from datetime import UTC, datetime

from treadle.client.listing import RunList
from treadle.experiment import Comparison
from treadle.experiment.types import Run

AT = datetime(2026, 3, 1, tzinfo=UTC)
RUNS = RunList(
    Run(id=f"run_{n}", name="<b>", started_at=AT, params={"depth": n} if n else {}, metrics={"auc": 0.5 + n})
    for n in range(3)
)


def test_a_frame_has_a_row_a_run() -> None:
    frame = RUNS.frame()
    assert list(frame["id"]) == ["run_0", "run_1", "run_2"]
    assert list(frame["metrics.auc"]) == [0.5, 1.5, 2.5]
    assert frame["params.depth"].isna().tolist() == [True, False, False]


def test_notebooks_show_tables_of_escaped_text() -> None:
    found = Comparison(list(RUNS), {"depth": [None, 1, 2]}, {"auc": [0.5, 1.5, 2.5]}, {"auc": 1.0})
    for shown in (RUNS._repr_html_(), RUNS[1]._repr_html_(), found._repr_html_()):
        assert shown.startswith("<table>")
        assert "<b>" not in shown
        assert "&lt;b&gt;" in shown
    assert "1.5 ≈" in found._repr_html_()
