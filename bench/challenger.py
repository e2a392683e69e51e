"""A challenger beside production: how often looks of half a year are wrong, and how soon they are right."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from bench import measure, peers
from bench.tables import progress, show

RULES = ("blocks of 7", "blocks of 14", "each look's own")


def run(quick: bool) -> None:
    """Prints the tables."""
    worlds = 200 if quick else 20_000
    progress(f"challenger: {worlds} worlds, load {measure.load_average()}")
    with tempfile.TemporaryDirectory() as name:
        script = peers.SCRIPTS / "challenger.py"
        cost = measure.run([peers.PLATFORM, script, str(worlds)], Path(name))
    found = json.loads(cost.out.strip().splitlines()[-1])
    calm = [[row["kind"], *row["found"]] for row in found if not row["gain"]]
    gains = [[f"{row['kind']}, a gain of {row['gain']:g}", *row["found"]] for row in found if row["gain"]]
    notes = f"182 days, looked at every week; 5 % declared; {worlds:,} half years."
    show("Half years with a false decision, %", ["days", *RULES], calm, notes)
    notes = "Gains in standard deviations of a day's; days until it is found, median; never: in half a year."
    show("How soon a gain is found", ["days", *RULES], gains, notes)
