"""Incidents of drift, simulated: how often one that stays as it is is told again, and one that grows sixfold.

Usage: growing.py YEARS. Prints a JSON list of rows. A year is 52 weekly windows of ten columns, five of which
have moved; in the last window their effect is six times as large (for `psi`, about the square of it).
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import numpy as np

from treadle.kernel.config.monitor import DriftConfig, MonitorConfig
from treadle.monitor import NumericProfile, WindowResult, rules
from treadle.monitor.drift import input_result
from treadle.monitor.findings import Window, to_alerts
from treadle.monitor.incidents.growth import grown

START, WEEK, WINDOWS, COLUMNS, MOVED = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=7), 52, 10, 5
SIXFOLD = {"psi": 6**0.5}


def main() -> None:
    """Prints the rows."""
    years = int(sys.argv[1])
    rng, rows = np.random.default_rng(1), []
    for statistic in ("psi", "js", "ks", "wasserstein"):
        for n in (200, 1000):
            for shift in (0.35, 0.6):
                found = [_year(rng, statistic, n, shift) for _ in range(years)]
                opened = [one for one in found if one is not None]
                rows.append(
                    {
                        "statistic": statistic,
                        "rows": n,
                        "shift": shift,
                        "incidents": len(opened),
                        "told again": sum(again for again, _ in opened),
                        "sixfold told": sum(told for _, told in opened),
                    }
                )
    print(json.dumps(rows))


def _year(rng: np.random.Generator, statistic: str, n: int, shift: float) -> tuple[int, bool] | None:
    """How often people were told again, and whether they were of what grew; None where nothing was found."""
    config = rules.shared(MonitorConfig(drift=DriftConfig(statistic=statistic)))
    columns = [Column(rng.normal(0, 1, 20_000)) for _ in range(COLUMNS)]
    told: list[WindowResult] = []
    again = 0
    for week in range(WINDOWS + 1):
        last = week == WINDOWS
        window = Window(model="m", version=1, since=START + week * WEEK, until=START + (week + 1) * WEEK)
        by = shift * (SIXFOLD.get(statistic, 6.0) if last else 1.0)
        results = [
            input_result(
                window,
                f"column {place}",
                column.training,
                column.count(rng.normal(by if place < MOVED else 0, 1, n)),
                COLUMNS,
                config,
                1 / COLUMNS,
            )
            for place, column in enumerate(columns)
        ]
        for alert in to_alerts(results, delivered=True):
            if last:
                return (again, bool(grown(alert, results, told, START, config))) if told else None
            if not told or grown(alert, results, told, START, config):
                again += bool(told)
                told += results
    return None


class Column:
    """A column at training, and its bins.

    Args:
        values: At training.
    """

    def __init__(self, values: np.ndarray) -> None:
        self.edges = np.quantile(values, np.linspace(0, 1, 11)[1:-1])
        self.low, self.high = float(values.min()), float(values.max())
        self.training = self.count(values)

    def count(self, values: np.ndarray) -> NumericProfile:
        """Values counted in the bins."""
        below, above = values[values < self.low], values[values > self.high]
        inner = values[(values >= self.low) & (values <= self.high)]
        places = np.searchsorted(self.edges, inner)
        parts = [below, *(inner[places == place] for place in range(10)), above]
        return NumericProfile(
            edges=self.edges.tolist(),
            counts=[len(part) for part in parts[1:-1]],
            nulls=0,
            mean=float(values.mean()),
            deviation=float(values.std()),
            low=self.low,
            high=self.high,
            below=len(below),
            above=len(above),
            least=float(values.min()),
            greatest=float(values.max()),
            centres=[float(part.mean()) if len(part) else None for part in parts],
        )


if __name__ == "__main__":
    main()
