"""``treadle runs``: what was tried and what came of it; ``treadle sync`` sends what was spooled."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from treadle.cli import listed, origin, show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.cli.compare import compare, importance
from treadle.cli.deleting import delete, restore
from treadle.cli.media import media
from treadle.cli.tables import print_csv
from treadle.experiment.types import TOLD
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.experiment.types import Run


@click.group(cls=Group, default="ls", short_help="What was tried: list, show, compare")
def runs() -> None:
    """What was tried and what came of it. `treadle runs` alone lists."""


runs.add_command(compare)
runs.add_command(importance)


runs.add_command(delete)
runs.add_command(restore)


@runs.command("ls")
@click.option("--experiment", metavar="NAME", help="Only runs of this experiment.")
@click.option(
    "--where",
    metavar="FILTER",
    help='Only runs that fit, such as "metrics.auc > 0.8 and params.depth < 6".',
)
@click.option(
    "--sort",
    metavar="KEY",
    default="-started_at",
    help="A metric, params.X, tags.X, started_at, duration …; a minus sign for descending.",
)
@click.option("--columns", metavar="A,B", help="Which columns: id, name, status, params.X, metrics.X …")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV and nothing else.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@json_option
@pass_app
def ls(
    app: App,
    experiment: str | None,
    where: str | None,
    sort: str,
    limit: int,
    columns: str | None,
    as_csv: bool,
) -> None:
    """List runs, newest first."""
    key = sort.lstrip("-")
    if key not in listed.ATTRIBUTES and not key.startswith(("metrics.", "params.", "tags.")):
        sort = sort.replace(key, f"metrics.{key}")
    found = app.client.runs(experiment=experiment, where=where, sort=sort, limit=limit)
    names = listed.named(columns, found) if columns or as_csv else []
    if as_csv:
        print_csv(names, ([listed.value(run, name) for name in names] for run in found))
    elif columns:
        app.answer(found, lambda runs: listed.show_columns(runs, names))
    else:
        app.answer(found, lambda runs: show_runs(runs, key.removeprefix("metrics.")))


def show_runs(found: list[Run], key: str) -> None:
    """Prints runs, with as much of each as a line has room for."""
    counts = Counter(name for run in found for name in run.metrics)
    common = {name for name, count in counts.items() if count * 2 >= len(found)}
    metrics = sorted(show.ranked(common | ({key} & set(counts))), key=lambda name: name != key)[:3]
    ids = show.short([run.id for run in found])
    taken = 5 + max(map(len, ["run", *ids])) + max((min(16, len(run.name)) for run in found), default=0)
    columns = _fitting(metrics, show.room() - taken)
    rows = [
        (show.mark(run.status), name, run.name, *(_column(run, column) for column in columns))
        for name, run in zip(ids, found, strict=True)
    ]
    headings = [f"!{name}" if name in ("status", "started") else f">{name}" for name in columns]
    show.table(["!", "!run", "name", *headings], rows, empty="no runs yet")
    show.following("treadle runs show RUN", "treadle runs compare RUN RUN" if found else "treadle train")


def _fitting(metrics: list[str], room: int) -> list[str]:
    """The columns that a line has room for, the more telling ones first."""
    widths = {"status": 7, "started": 16, **{name: max(9, len(name)) for name in metrics}}
    chosen: list[str] = []
    for name in (*metrics[:1], "started", *metrics[1:2], "status", *metrics[2:]):
        room -= widths[name] + 2
        if room >= 0:
            chosen.append(name)
    return [name for name in widths if name in chosen]


def _column(run: Run, column: str) -> object:
    return {"status": run.status, "started": run.started_at}.get(column, run.metrics.get(column))


runs.add_command(media)


@runs.command("show")
@click.argument("run_id", metavar="RUN")
@json_option
@pass_app
def show_one(app: App, run_id: str) -> None:
    """Show a run: where it comes from, parameters, curves, files. The beginning of its id will do."""
    origin.settle(app, run_id)
    app.answer(app.client.run(run_id), lambda run: show_run(app, run))


def show_run(app: App, run: Run) -> None:
    """Prints a run."""
    show.facts(
        [
            ("run", f"{run.name} ({run.id})"),
            ("status", show.state(run.status)),
            ("why", run.message),
            ("started", f"{show.when(run.started_at)}, took {show.took(run.started_at, run.ended_at)}"),
            ("experiment", run.experiment),
            ("cycle", run.cycle),
            ("recipe", run.recipe),
            ("seed", run.seed),
            *((f"  {name}", value) for name, value in run.params.items()),
            *((f"  {name}", value) for name, value in run.tags.items() if name not in TOLD),
            *origin.facts(run),
        ]
    )
    curves = [
        (name, [point.value for point in app.client.history(run.id, name)]) for name in sorted(run.metrics)
    ]
    show.say()
    show.table(
        ["metric", ">last", ">points", "curve"],
        [
            (name, run.metrics[name], len(curve), show.spark(curve) if len(curve) > 1 else "")
            for name, curve in curves
        ],
        empty="no metrics",
    )
    files = app.client.artifacts(run.id)
    if files:
        show.say()
        show.table(["file", ">size"], [(file.path, format_bytes(file.size)) for file in files])


@click.command(short_help="Send the runs that were written without a server")
@json_option
@pass_app
def sync(app: App) -> None:
    """Send the runs that were written while no server answered."""
    from treadle.sdk import sync as send

    app.answer(send(app.client, app.root), show_sent)


def show_sent(sent: list[str]) -> None:
    """Prints which runs were sent."""
    show.say(f"{show.counted(len(sent), 'run')} sent" if sent else "there was nothing to send")
    if sent:
        show.following(f"treadle runs show {sent[-1]}")
