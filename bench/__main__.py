"""``python -m bench [NAME...] [--quick]``: runs benchmarks and prints Markdown tables."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
from datetime import UTC, datetime

import psutil

from bench import measure
from bench.tables import progress

BENCHMARKS = {
    "first_contact": "install size, import, and a first script, beside MLflow, wandb and Trackio",
    "log_call": "one logging call in the training's thread, beside MLflow, wandb and Trackio",
    "serving": "single-row inference under load and while models are swapped, beside four servers",
    "rollout": "a canary that fails: how soon it is gone, and what it spoils until then",
    "router": "two replicas behind the router and without: the cost of the hop, and what a kill loses",
    "gate": "verdicts for every subgroup on a million rows, beside Fairlearn",
    "groupings": "groupings and joins of 10 and 100 million values, by Polars and by DuckDB",
    "checks": "53 checks of ten million rows, beside Polars by hand, Pandera and Great Expectations",
    "behaviour": "a thousand answers asked and scored, beside Inspect and promptfoo; whose intervals hold",
    "drift": "a window of a million rows and 50 columns, beside NannyML and Evidently",
    "alarms": "simulated years with and without a change, beside NannyML's and Evidently's defaults",
    "run_length": "twenty monitors of one model: first false alarm and delays, by how they share",
    "challenger": "a challenger beside production: false decisions in half a year, and delays",
    "window": "a day's window of the monitors: by rows, columns, segments and models",
    "tracking": "logging, searching and reading curves, beside MLflow's server",
    "artifacts": "files of a gigabyte through the server, beside a copy and MLflow's server",
    "scale": "a run of ten million points, a thousand clients at once",
    "data": "versions of many small files and of a large one, beside cp and DVC",
    "remote": "push and pull of a large file and of many small ones, beside obstore alone and DVC",
    "delta": "tables: write, append, delete, merge, diff and history, beside plain deltalake",
    "cycle": "the fixed cost of a cycle and of a server's start, beside MLflow's server",
}


def main() -> None:
    """Runs what was asked for."""
    listed = "\n".join(f"  {name:14} {what}" for name, what in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Treadle beside its peers: the same work, in one run.",
        epilog=f"benchmarks:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all when left out")
    parser.add_argument(
        "--quick", action="store_true", help="small data and few rounds: to see that it works"
    )
    given = parser.parse_args()
    for name in given.names:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    memory = psutil.virtual_memory().total / 2**30
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"
        f"{', quick' if given.quick else ''}; load at the start {measure.load_average()}",
        flush=True,
    )
    for name in given.names or BENCHMARKS:
        importlib.import_module(f"bench.{name}").run(given.quick)
        progress(f"{name} done, load {measure.load_average()}")


if __name__ == "__main__":
    main()
