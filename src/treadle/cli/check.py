"""``treadle check``: data and models against what ``treadle.toml`` declares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from treadle.evaluate.types import (
        Asking,
        CheckJob,
        CheckPlan,
        CheckRequest,
        CheckResult,
        Evaluation,
        ReportFormat,
        WrittenChecks,
    )

CODES = {"pass": 0, "warn": 0, "fail": 1, "inconclusive": 3}
_FORMATS: dict[str, ReportFormat] = {
    ".html": "html",
    ".md": "markdown",
    ".xml": "junit",
    ".json": "json",
}


@click.group(
    "check",
    cls=Group,
    default="run",
    for_path="say that it is data: treadle check --data {}",
    short_help="Check data and models, in any CI",
)
def check() -> None:
    """Check data and models against what [checks] in treadle.toml declares.

    Exit codes: 0 pass, 1 fail, 3 inconclusive (the data can't tell), 2 error.
    """


@check.command("run", short_help="Check; meant when no verb is named")
@click.option("--data", metavar="DATA", default="", help="Rows: NAME@v3, NAME, or a file or folder.")
@click.option("--reference", metavar="DATA", default="", help="The rows to hold them against.")
@click.option("--model", metavar="REF", default="", help="Judge this version, such as flights/4.")
@click.option("--against", metavar="REF", default="", help="Beside this one, not production.")
@click.option("--predictions", metavar="FILE", default="", help="Judge these predictions of a model.")
@click.option("--baseline", metavar="FILE", default="", help="Production's predictions, paired by key.")
@click.option(
    "--only",
    type=click.Choice(["data", "model", "behaviour"]),
    multiple=True,
    help="Only these kinds of checks.",
)
@click.option("--behaviour", metavar="NAME", multiple=True, help="Only this behaviour check.")
@click.option("--rescore", metavar="EVALUATION", default="", help="Score its answers again, without asking.")
@click.option("--explain", is_flag=True, help="Say what would be tested; judge nothing.")
@click.option("--again", is_flag=True, help="Judge anew what was judged already.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), metavar="N", default=0, help="Of everything random."
)
@click.option(
    "--report",
    "reports",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write .html, .md, .xml (JUnit) or .json.",
)
@json_option
@pass_app
@click.pass_context
def run(
    context: click.Context,
    app: App,
    data: str,
    reference: str,
    model: str,
    against: str,
    predictions: str,
    baseline: str,
    only: tuple[Literal["data", "model", "behaviour"], ...],
    behaviour: tuple[str, ...],
    rescore: str,
    explain: bool,
    again: bool,
    seed: int,
    reports: tuple[Path, ...],
) -> None:
    """Check data and models, and say what was found.

    The same data judged by the same checks is judged once, and told again.
    """
    from treadle.evaluate.types import CheckRequest

    wanted = [(path, _format(path)) for path in reports]
    asked = CheckRequest(
        data=data,
        reference=reference,
        model=app.ref(model) if model else "",
        against=app.ref(against) if against else "",
        predictions=_whole(predictions),
        baseline=_whole(baseline),
        only=only,
        again=again,
        behaviour=behaviour,
        rescore=rescore,
        seed=seed,
    )
    if explain:
        app.answer(app.client.plan_checks(asked), _show_plan)
        return
    found = _watched(app, asked)
    for path, kind in wanted:
        path.write_bytes(app.client.check_report([one.id for one in found.evaluations], kind))
    app.answer(found, lambda result: _show(result, asked, reports))
    context.exit(CODES[found.outcome])


def _watched(app: App, asked: CheckRequest) -> CheckResult:
    """Checks, telling how far the asking is; whoever interrupts it stops it, and can go on later."""
    status = show.console(stderr=True).status("asking")
    shown = not app.json and not show.is_dumb()
    told = ""

    def follow(job: CheckJob) -> None:
        nonlocal told
        if job.asking.calls:
            told = _progress(job.asking)
            status.update(told)
            if shown and job.state == "running":
                status.start()

    try:
        return app.client.check(asked, follow)
    except KeyboardInterrupt:
        status.stop()
        if told:
            click.echo(
                f"stopped after {told}. What was answered is kept: the same command goes on from there",
                err=True,
            )
        raise
    finally:
        status.stop()


def _progress(asking: Asking) -> str:
    cost = f", for {show.number(asking.cost)}" if asking.cost else ""
    return f"{asking.answered:,} of {asking.calls:,} calls{cost}"


def _whole(name: str) -> str:
    """A file as it is named from the project's folder, too."""
    return str(Path(name).resolve()) if name and Path(name).exists() else name


def _format(path: Path) -> ReportFormat:
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise InvalidInput(
            f"{path.name!r} doesn't say what to write", fix=f"end it in one of {', '.join(_FORMATS)}"
        )
    if not path.parent.is_dir():
        raise InvalidInput("there is no such folder", where=str(path.parent), fix="make it first")
    return found


def _show(result: CheckResult, asked: CheckRequest, reports: tuple[Path, ...]) -> None:
    for evaluation in result.evaluations:
        _head(evaluation, kept=evaluation.id in result.kept)
        show.verdicts([evaluation])
    if reports:
        show.say(f"wrote {', '.join(map(str, reports))}")
    if not reports:
        names = " ".join(one.id for one in result.evaluations)
        show.following("treadle check --report checks.html", f"treadle check show {names}")
    if asked.again is False and result.kept:
        show.following("treadle check --again")


def _head(evaluation: Evaluation, *, kept: bool = False) -> None:
    beside = evaluation.baseline or evaluation.basis.reference
    rest = f" beside {beside}" if beside else ""
    again = f", as judged on {show.when(evaluation.at)}" if kept else ""
    show.say(f"{evaluation.kind}: {evaluation.subject}{rest}: {evaluation.outcome}{again}")


def _show_plan(plan: CheckPlan) -> None:
    rows = [
        (
            one.check,
            one.subject,
            "-" if one.n is None else f"{one.n:,} {one.unit}",
            "-" if one.detectable is None else f"{one.detectable:.3g}",
            one.sentence,
        )
        for one in plan.planned
    ]
    show.table(
        ["!check", "!of", ">on", ">can find", "what is tested"], rows, empty="nothing would be checked"
    )
    for note in plan.notes:
        show.say(note)
    show.following("treadle check")


@check.command("jobs", short_help="List the checks that a server makes right now")
@json_option
@pass_app
def jobs(app: App) -> None:
    """List the checks that are under way at a server, and those that ended lately.

    Without a server, a check is part of the command that makes it, and none is listed.
    """
    app.answer(app.client.check_jobs(), _show_jobs)


def _show_jobs(found: list[CheckJob]) -> None:
    rows = [
        (one.id, one.at, one.actor, one.asking.check, _progress(one.asking), show.state(one.state))
        for one in found
    ]
    show.table(["!job", "!at", "by", "asks", ">how far", "state"], rows, empty="no checks are under way")
    if running := next((one for one in found if one.state == "running"), None):
        show.following(f"treadle check cancel {running.id}")


@check.command("cancel", short_help="Stop a check that a server makes")
@click.argument("job")
@json_option
@pass_app
def cancel(app: App, job: str) -> None:
    """Stop the check JOB of a server; whoever waits for it is told.

    What was answered is kept: the same check goes on from there.
    """
    app.answer(app.client.cancel_check(job), _show_cancelled)


def _show_cancelled(job: CheckJob) -> None:
    if job.state == "running":
        show.say(f"{job.id} stops as soon as what is under way lets it")
    else:
        show.say(f"{job.id} is {job.state}, after {_progress(job.asking)}")


@check.command("suggest", short_help="Write [checks.data] that good rows pass")
@click.argument("data")
@json_option
@pass_app
def suggest(app: App, data: str) -> None:
    """Write checks that the rows of DATA pass: NAME@v3, NAME, or a file or folder.

    Name rows that are as they should be; prune what it writes, and put it into treadle.toml.
    """
    app.answer(app.client.suggest_checks(_whole(data)), lambda found: click.echo(found.toml, nl=False))


@check.command("import", short_help="Write [checks.data] from another tool's suite")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@pass_app
def import_one(app: App, file: Path) -> None:
    """Write checks from a suite of Great Expectations (JSON) or a schema of Pandera (YAML, JSON).

    What these checks can't say is listed.
    """
    from treadle.evaluate.types import ForeignSuite

    text = file.read_text("utf-8", errors="replace")
    app.answer(app.client.import_checks(ForeignSuite(text=text, where=str(file))), _show_imported)


def _show_imported(found: WrittenChecks) -> None:
    click.echo(found.toml, nl=False)
    for line in found.unsaid:
        click.echo(f"# not said: {line}")


@check.command("list", short_help="List what was judged, the newest first")
@click.argument("subject", required=False)
@click.option("-n", "limit", type=click.IntRange(1, 10_000), default=20, help="At most so many.")
@json_option
@pass_app
def list_all(app: App, subject: str | None, limit: int) -> None:
    """List evaluations: of a dataset version, a run, a model version, or all."""
    app.answer(app.client.evaluations(subject, limit), _show_all)


def _show_all(found: list[Evaluation]) -> None:
    rows = [
        (one.id, one.at, one.kind, one.subject, show.state(one.outcome), len(one.verdicts)) for one in found
    ]
    show.table(
        ["!evaluation", "!at", "of", "subject", "outcome", ">verdicts"], rows, empty="nothing was judged"
    )
    if found:
        show.following(f"treadle check show {found[0].id}")


@check.command("show", short_help="Show all verdicts of an evaluation")
@click.argument("names", metavar="EVALUATION", nargs=-1, required=True)
@json_option
@pass_app
def show_some(app: App, names: tuple[str, ...]) -> None:
    """Show every verdict of evaluations, with its sentence."""
    app.answer([app.client.evaluation(name) for name in names], _show_each)


def _show_each(found: list[Evaluation]) -> None:
    for evaluation in found:
        _head(evaluation)
        for outcome in ("fail", "inconclusive", "warn", "pass"):
            for verdict in evaluation.verdicts:
                if verdict.outcome == outcome:
                    more = " (exploratory)" if verdict.exploratory else ""
                    show.item(outcome, f"{verdict.check}{more}: {verdict.sentence}")
