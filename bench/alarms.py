"""Alarms: simulated years without change and with one, by Treadle's rules and by the defaults of two peers."""

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
            try:
                if peer.python is None:
                    raise measure.Failed(peer.problem)
                cost = measure.run([peer.python, peers.SCRIPTS / "alarms.py", script, folder], folder)
            except measure.Failed as error:
                found["input"].append([title, reason(str(error)), *[None] * 5])
                continue
            for row in json.loads(cost.out.strip().splitlines()[-1]):
                figures = [row[key] for key in ("windows", "years", "found", "delay", "missed")]
                found[row["what"]].append([title, row["rule"], *figures])
    columns = [
        "tool", "rule", "false windows, %", "years with one, %", "found at once, %", "delay, windows", "missed, %"
    ]  # fmt: skip
    show(
        "False alarms and delays: a numeric input, 100 rows a week",
        columns,
        found["input"],
        f"{years} years of 52 weeks without change, {years} in which the input moves by half a standard deviation "
        "in week 27; a reference of 14,000 rows. Delay: median, in weeks, of those found; the week itself is 0.",
    )
    show(
        "False alarms and delays: AUC of a classifier, 1,400 rows a week",
        columns,
        found["performance"],
        f"The same years. In week 27 every twelfth label loses its relation to the score (realised: AUC falls by "
        "0.03), or the inputs move to where the model is less sure (estimated: by 0.03). AUC at first 0.83; Treadle with one false alarm a year "
        "declared and no tolerance.",
    )
