"""The gate: is the candidate no worse than production in any group, on a million rows?"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

from bench import measure, peers
from bench.tables import progress, reason, show, text, times


def run(quick: bool) -> None:
    """Prints the table."""
    count, rounds = (50_000, 1) if quick else (1_000_000, 3)
    fairlearn = peers.peer("fairlearn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure.run([peers.PLATFORM, peers.SCRIPTS / "make_rows.py", "gate", folder, str(count)], folder)

        def case(python: Path | None, how: str):
            def once() -> measure.Cost:
                if python is None:
                    raise measure.Failed(fairlearn.problem)
                return measure.run([python, peers.SCRIPTS / "gate.py", how, folder / "gate.npz"], folder)

            return once

        progress(f"gate: {count:,} rows, load {measure.load_average()}")
        ours = {
            "Treadle: paired verdicts with intervals": case(peers.PLATFORM, "treadle"),
            "Treadle: decisions, 10,000 bootstraps": case(peers.PLATFORM, "counts"),
        }
        theirs = {
            "Fairlearn: figures alone": case(fairlearn.python, "points"),
            "Fairlearn: n_boot=4, unpaired intervals": case(fairlearn.python, "boot"),
        }
        found = measure.interleaved(ours, rounds, warm=0)
        found |= measure.interleaved(theirs, 1, warm=0)
    best = next(iter(found.values()))
    rows: list[list[object]] = []
    for title, costs in found.items():
        if isinstance(costs, str):
            rows.append([title, reason(costs), *[None] * 4])
            continue
        wall, cpu, peak = (measure.median(costs, key) for key in ("wall", "cpu", "peak"))
        rows.append(
            [
                title,
                _judging(costs),
                cpu,
                None if isinstance(best, str) else times(cpu, measure.median(best, "cpu")),
                wall,
                peak,
            ]
        )
    notes = (
        f"{count:,} rows, 10 groups, 4 metrics, two models; first judging alone, then the whole process, "
        f"imports and reading included; Treadle: median of {rounds}, the others once. {_agreement(found)}"
    )
    show(
        "The gate, for every subgroup",
        ["judge", "judging, CPU-s", "CPU-s", "ratio", "wall, s", "peak MB"],
        rows,
        notes,
    )


def _judging(costs: list[measure.Cost]) -> float | None:
    """The CPU seconds of judging alone, where a script tells them."""
    told = [
        line.split()[1] for cost in costs for line in cost.out.splitlines() if line.startswith("judging ")
    ]
    return statistics.median(map(float, told)) if told else None


def _agreement(found: dict[str, list[measure.Cost] | str]) -> str:
    """How far the two disagree about the differences between the models."""
    figures = []
    first, _, figures_alone, *_ = found.values()
    for costs in (first, figures_alone):
        if isinstance(costs, str):
            return ""
        figures.append(json.loads(costs[0].out.strip().splitlines()[-1]))
    ours, theirs = figures
    apart = max(abs(ours[key] - theirs[key]) for key in theirs)
    return f"Their {len(theirs)} differences between the models and Treadle's agree to {text(apart)}."
