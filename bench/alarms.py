"""Alarms: simulated years with and without a change, by Treadle's rules and the defaults of two peers."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from bench import measure, peers
from bench.tables import progress, reason, show

TOOLS = {
    "Treadle": ("treadle", None),
    "NannyML": ("nannyml", "nannyml"),
    "Evidently": ("evidently", "evidently"),
}
FIGURES = ("false windows, %", "years with one, %", "found at once, %", "delay, weeks", "missed, %")
INPUT = (
    "40 years of 52 weeks without change, 40 in which the input moves by half a standard deviation in "
    "week 27; a reference of 14,000 rows. Delay: median of those found; 0 is the week itself."
)
PERFORMANCE = (
    "In week 27 every twelfth label loses its relation to the score (realised), or the inputs move to where "
    "the model is less sure (estimated). Treadle with one false alarm a year declared and no tolerance."
)


def run(quick: bool) -> None:
    """Prints the tables."""
    years = 3 if quick else 40
    found: dict[str, list[list[object]]] = {"input": [], "performance": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure.run([peers.PLATFORM, peers.SCRIPTS / "alarms.py", "streams", folder, str(years)], folder)
        for title, (script, listed) in TOOLS.items():
            progress(f"alarms: {title}, load {measure.load_average()}")
            peer = peers.peer(listed) if listed else peers.Peer(peers.PLATFORM)
            if peer.python is None:
                found["input"].append([title, reason(peer.problem), *[None] * 5])
                continue
            cost = measure.run([peer.python, peers.SCRIPTS / "alarms.py", script, folder], folder)
            for row in json.loads(cost.out.strip().splitlines()[-1]):
                figures = [row[key] for key in ("windows", "years", "found", "delay", "missed")]
                found[row["what"]].append([title, row["rule"], *figures])
    columns = ["tool", "rule", *FIGURES]
    show("False alarms and delays: a numeric input, 100 rows a week", columns, found["input"], INPUT)
    show(
        "False alarms and delays: AUC of a classifier, 1,400 rows a week",
        columns,
        found["performance"],
        f"{years} years of each kind. {PERFORMANCE}",
    )
