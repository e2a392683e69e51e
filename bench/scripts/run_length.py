"""Many monitors of one model, simulated: how long until the first false alarm, and until a change is found.

Usage: run_length.py WORLDS. Prints a JSON list of rows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import numpy as np

from treadle.monitor.sequential import EFFECTS

MONITORS, WANTED, CALM, LONGEST = 20, 52, 26, 6000
RULES = ("each for itself", "split evenly", "e-BH", "average")


def main() -> None:
    """Prints the rows."""
    worlds = int(sys.argv[1])
    rows = []
    for together in (0.0, 0.5, 0.9):
        found = _first(_figures(np.random.default_rng(1), worlds, together, 0, 0.0, 0), LONGEST, worlds)
        rows.append(
            {"what": "calm", "together": together, "found": {r: float(v.mean()) for r, v in found.items()}}
        )
    for changed in (1, 3, 20):
        for effect in (1.0, 2.0):
            figures = _figures(np.random.default_rng(2), worlds, 0.5, changed, effect, CALM)
            found = _first(figures, 500, worlds)
            delays = {r: float(np.median(v[v > CALM] - CALM)) for r, v in found.items()}
            rows.append({"what": "change", "changed": changed, "effect": effect, "found": delays})
    print(json.dumps(rows))


def _figures(
    rng: np.random.Generator, worlds: int, together: float, changed: int, effect: float, calm: int
) -> Iterator[np.ndarray]:
    """Each window's figures in standard errors: a row a world, a column a monitor."""
    week = 0
    while True:
        z = together**0.5 * rng.standard_normal((worlds, 1))
        z = z + (1 - together) ** 0.5 * rng.standard_normal((worlds, MONITORS))
        if week >= calm:
            z[:, :changed] += effect
        week += 1
        yield z


def _first(figures: Iterator[np.ndarray], longest: int, worlds: int) -> dict[str, np.ndarray]:
    """The window, from 1, in which each rule first alarms in each world."""
    found = {rule: np.zeros(worlds, dtype=int) for rule in RULES}
    evidence, ranks = np.zeros((worlds, MONITORS)), np.arange(1, MONITORS + 1)
    for week, z in zip(range(1, longest + 1), figures, strict=False):
        e = np.mean([np.exp(m * z - m * m / 2) for m in EFFECTS], axis=0)
        evidence = np.minimum(e * (evidence + 1), 1e300)
        held = -np.sort(-evidence, axis=1) / MONITORS
        alarms = {
            "each for itself": evidence.max(axis=1) >= WANTED,
            "split evenly": held[:, 0] >= WANTED,
            "e-BH": (held * ranks >= WANTED).any(axis=1),
            "average": held.sum(axis=1) >= WANTED,
        }
        for rule, alarm in alarms.items():
            found[rule][(found[rule] == 0) & alarm] = week
        if all(one.all() for one in found.values()):
            break
    return {rule: np.where(one == 0, longest, one) for rule, one in found.items()}


if __name__ == "__main__":
    main()
