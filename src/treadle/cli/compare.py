"""``treadle runs compare`` and ``treadle runs importance``: what differs, and what matters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.cli.tables import print_csv
from treadle.kernel.errors import InvalidInput
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from rich.text import Text

    from treadle.experiment import CodeDiff, Comparison, FileDiff, Importance, SharedCurves

_SIDE_BY_SIDE = 8
_NONE = {"too_few_runs": "run more, or widen --where", "nothing_varies": "vary a parameter",
         "metric_constant": "choose another metric", "unexplained": "run more"}  # fmt: skip


@click.command("compare", short_help="Put runs side by side; tell differences from noise")
@click.argument("run_ids", metavar="RUN...", nargs=-1)
@click.option("--where", metavar="FILTER", help="All runs that fit, instead of RUN...")
@click.option("--experiment", metavar="NAME", help="All runs of an experiment.")
@click.option("--metric", metavar="NAME", help="What a whole search is judged by.")
@click.option("--curves", metavar="METRIC", help="A metric's curves over each other.")
@click.option("--by", type=click.Choice(["step", "time"]), default="step", help="What curves are aligned by.")
@click.option("--code", is_flag=True, help="How the code differs, from the first's.")
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all of it as a page.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV and nothing else.")
@json_option
@pass_app
def compare(
    app: App,
    run_ids: tuple[str, ...],
    where: str | None,
    experiment: str | None,
    metric: str | None,
    curves: str | None,
    by: str,
    code: bool,
    html: Path | None,
    as_csv: bool,
) -> None:
    """Put runs side by side; ≈ marks what differs from the first by no more than noise."""
    searching = not run_ids
    if searching and not (metric and (where or experiment)):
        raise InvalidInput(
            "there is nothing to compare",
            fix="name runs, or a search: --where or --experiment, with --metric",
        )
    if not searching and (where or experiment):
        raise InvalidInput("runs and a search can't both be compared", fix="leave out RUN..., or --where")
    ids = list(run_ids)
    if html is not None:
        _write_page(
            app, html, app.client.comparison_page(ids, metric=metric, experiment=experiment, where=where)
        )
        return
    if searching:
        best = app.client.runs(
            experiment=experiment, where=where, sort=f"-metrics.{metric}", limit=_SIDE_BY_SIDE
        )
        ids = [run.id for run in best]
    if curves is not None:
        way = cast("Literal['step', 'time']", by)
        shared = app.client.compare_curves(ids, curves, by=way, points=200 if not as_csv else 10_000)
        names = {run.id: run.name for run in app.client.compare(ids).runs}
        _out(app, shared, as_csv, lambda found: show_curves(found, names), curve_rows(shared))
        return
    found = app.client.compare(ids)
    if code:
        diffs = [app.client.compare_code(found.runs[0].id, run.id) for run in found.runs[1:]]
        app.answer(diffs, lambda made: show_code(made, {run.id: run.name for run in found.runs}))
        return
    if searching and metric and not (app.json or as_csv):
        show_importance(app.client.importance(metric, experiment=experiment, where=where))
        show.say()
    _out(app, found, as_csv, show_comparison, comparison_rows(found))


def _out(app: App, value: object, as_csv: bool, showing: object, rows: Iterator[tuple[object, ...]]) -> None:
    if as_csv:
        header = [str(name) for name in next(rows)]
        print_csv(header, rows)
    else:
        app.answer(value, showing)  # type: ignore[arg-type]  # each caller's own pair


def _write_page(app: App, out: Path, page: bytes) -> None:
    from treadle.kernel.files import write_atomic

    write_atomic(out, page)
    if app.json:
        app.answer({"file": str(out), "bytes": len(page)}, lambda _: None)
        return
    show.say(f"wrote {out} ({format_bytes(len(page))})")
    show.say(f"open it: {out.resolve().as_uri()}")


# ── side by side ─────────────────────────────────────────────────────────


def show_comparison(found: Comparison) -> None:
    """Prints runs side by side."""
    rows: list[tuple[object, ...]] = [
        ("run", *show.short([run.id for run in found.runs])),
        *((name, *values) for name, values in found.params.items()),
        *(
            (name, *figures(found.metrics[name], found.noise.get(name)))
            for name in show.ranked(found.metrics)
        ),
        *((f"data {one.name}", *(_head(digest) for digest in one.digests)) for one in found.inputs),
        *((f"package {name}", *versions) for name, versions in found.packages.items()),
        *((f"file {one.path}", *_sizes(one)) for one in found.files),
        *((f"from {name}", *(_cut(value) for value in values)) for name, values in found.origin.items()),
        *((f"tag {name}", *(_cut(value) for value in values)) for name, values in found.tags.items()),
    ]
    show.table(["", *(f"{run.name}" for run in found.runs)], rows)
    from treadle.experiment import REPEATABILITY

    for name, noise in found.noise.items():
        show.say(
            f"≈ {name}: within {show.number(REPEATABILITY * noise)} of the first is noise between seeds",
            "dim",
        )
    if not found.noise:
        show.say("no two replicas of one recipe among these: what is noise can't be told", "dim")


def figures(values: list[float | None], noise: float | None) -> list[str | Text]:
    """A metric's values, marked where they differ from the first by no more than noise."""
    from treadle.experiment import within_noise

    first, *others = values
    marked: list[str | Text] = [show.number(first)]
    for value in others:
        same = within_noise(value, first, noise)
        marked.append(show.marked(f"{show.number(value)} ≈", "dim") if same else show.number(value))
    return marked


def _head(digest: str | None) -> str | None:
    return None if digest is None else digest[:12]


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= 40 else f"{text[:39]}…"


def _sizes(one: FileDiff) -> list[str | None]:
    pairs = zip(one.digests, one.sizes, strict=True)
    return [None if digest is None else f"{format_bytes(size or 0)} {digest[:8]}" for digest, size in pairs]


def comparison_rows(found: Comparison) -> Iterator[tuple[object, ...]]:
    """A comparison as a table: its headings, then a row for each thing that was compared."""
    yield ("kind", "name", *(run.id for run in found.runs))
    yield ("run", "name", *(run.name for run in found.runs))
    yield ("run", "status", *(run.status for run in found.runs))
    yield ("run", "started_at", *(run.started_at for run in found.runs))
    for kind, table in (("param", found.params), ("metric", found.metrics)):
        yield from ((kind, name, *values) for name, values in table.items())
    yield from (("input", one.name, *one.digests) for one in found.inputs)
    yield from (("package", name, *versions) for name, versions in found.packages.items())
    yield from (("file", one.path, *one.digests) for one in found.files)
    yield from (("origin", name, *values) for name, values in found.origin.items())
    yield from (("tag", name, *values) for name, values in found.tags.items())


# ── curves and code ──────────────────────────────────────────────────────


def show_curves(found: SharedCurves, names: dict[str, str]) -> None:
    """Prints curves on one scale, a line each."""
    finite = [y for curve in found.curves for y in curve.y if math.isfinite(y)]
    bounds = (min(finite), max(finite)) if finite else None
    rows = [
        (
            names.get(curve.run, curve.run),
            show.spark(curve.y, width=max(20, min(60, show.room() - 60)), bounds=bounds),
            curve.y[0],
            curve.y[-1],
            min(curve.y),
            max(curve.y),
            f"{curve.x[-1]:g}",
        )
        for curve in found.curves
    ]
    unit = "step" if found.by == "step" else "seconds"
    show.table(["run", f"!{found.metric}", ">first", ">last", ">lowest", ">highest", f">{unit}"], rows)


def curve_rows(found: SharedCurves) -> Iterator[tuple[object, ...]]:
    """Curves as a table: a row for each point."""
    yield ("run", "step" if found.by == "step" else "seconds", found.metric)
    for curve in found.curves:
        for x, y in zip(curve.x, curve.y, strict=True):
            yield (curve.run, int(x) if found.by == "step" else x, y)


def show_code(found: list[CodeDiff], names: dict[str, str]) -> None:
    """Prints how code differs."""
    for one in found:
        first, second = (names.get(run, run) for run in one.runs)
        what = {None: "can't be told", True: "the same", False: "differs"}[one.same]
        show.say(f"code of {first} and {second}: {what}" + (f" ({one.note})" if one.note else ""), "bold")
        if any(one.commits):
            show.say(f"{one.commits[0] or '?'} → {one.commits[1] or '?'}", "dim")
        if one.diff:
            show.say(one.diff)
        if one.patches[0] != one.patches[1]:
            for name, patch in zip((first, second), one.patches, strict=True):
                if patch:
                    show.say(f"what {name} had not committed:", "bold")
                    show.say(patch)


# ── importance ───────────────────────────────────────────────────────────


@click.command("importance", short_help="Which parameters a metric depends on")
@click.option("--metric", metavar="NAME", required=True, help="The metric.")
@click.option("--where", metavar="FILTER", help="Only runs that fit.")
@click.option("--experiment", metavar="NAME", help="Only runs of this experiment.")
@click.option("--param", "params", metavar="NAME", multiple=True, help="Only these parameters.")
@json_option
@pass_app
def importance(
    app: App, metric: str, where: str | None, experiment: str | None, params: tuple[str, ...]
) -> None:
    """Say which parameters a metric depends on, over many runs, and how sure that is."""
    found = app.client.importance(metric, experiment=experiment, where=where, params=list(params) or None)
    app.answer(found, show_importance)


def show_importance(found: Importance) -> None:
    """Prints importance as bars."""
    show.item("ok" if found.reason is None else "inconclusive", found.sentence)
    if found.reason is not None:
        show.say(f"    to know more: {_NONE[found.reason]}", "dim")
    rows = [
        (
            one.name,
            "█" * round(one.share * 20) or "▏",
            f"{one.share:.0%}",
            f"{one.low:.0%} to {one.high:.0%}",
            f"{one.alone:.0%}",
            "" if one.correlation is None else f"{one.correlation:+.2f}",
            "" if one.clear else "no more than chance",
        )
        for one in found.params
    ]
    if rows:
        show.table(["!param", "!", ">share", ">95 %", ">alone", ">rank corr.", ""], rows)
    for name, why in found.ignored.items():
        show.say(f"not looked at: {name} ({why})", "dim")
