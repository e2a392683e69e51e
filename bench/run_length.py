"""Twenty monitors of one model: the first false alarm, and delays, by how they share what is declared."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from bench import measure, peers
from bench.tables import progress, show

RULES = ("each for itself", "split evenly", "e-BH", "average")


def run(quick: bool) -> None:
    """Prints the tables."""
    worlds = 20 if quick else 2000
    progress(f"run_length: {worlds} worlds, load {measure.load_average()}")
    with tempfile.TemporaryDirectory() as name:
        script = peers.SCRIPTS / "run_length.py"
        cost = measure.run([peers.PLATFORM, script, str(worlds)], Path(name))
    found = json.loads(cost.out.strip().splitlines()[-1])
    calm = [
        [f"correlation {row['together']:g}", *(row["found"][rule] for rule in RULES)]
        for row in found
        if row["what"] == "calm"
    ]
    changes = [
        [f"{row['changed']} of 20, by {row['effect']:g} SE", *(row["found"][rule] for rule in RULES)]
        for row in found
        if row["what"] == "change"
    ]
    notes = f"20 monitors, 52 windows declared between two false alarms; {worlds:,} worlds."
    show("Windows until the first false alarm of any, on average", ["no change", *RULES], calm, notes)
    notes = "Correlation 0.5, change after 26 windows; median of worlds without an alarm before."
    show("Windows until a change is found", ["change", *RULES], changes, notes)
