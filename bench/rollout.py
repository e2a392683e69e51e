"""A canary that fails: how soon it is taken back, and how many requests it spoils until then."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

from bench import measure, peers
from bench.tables import show

_CASES = ((1.0, 0.05), (0.5, 0.05), (0.1, 0.05), (0.1, 0.25), (0.03, 0.25))


def run(quick: bool) -> None:
    """Measures each kind of failure some times and prints a table."""
    rows = []
    for failing, share in _CASES[:2] if quick else _CASES:
        found = []
        for _ in range(1 if quick else 5):
            command = [sys.executable, peers.SCRIPTS / "canary.py", str(failing), str(share), "120"]
            found.append(json.loads(measure.run(command, Path.cwd()).out.splitlines()[-1]))
        backs = [one["back"] for one in found if one["back"] is not None]
        rows.append(
            [
                f"fails at {failing:.0%}, asked {share:.0%} of the requests",
                median(one["rate"] for one in found),
                f"{len(backs)} of {len(found)}",
                median(backs) if backs else None,
                max(backs) if backs else None,
                median(one["gone"] or 0.0 for one in found),
                median(float(one["failed"]) for one in found),
                median(float(one["failed"] + one["answered"]) for one in found),
            ]
        )
    columns = [
        "a canary that",
        "requests/s",
        "taken back",
        "seconds until then",
        "longest",
        "seconds until the last failure",
        "failed requests",
        "requests it was asked",
    ]
    show("A canary that fails", columns, rows, "Seconds from its first failure; one replica, one caller.")
