"""``treadle deploy loadtest``: whether a version, or what runs, holds its objective at a rate."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, length, pass_app
from treadle.cli.check import CODES
from treadle.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from treadle.deploy import LoadTest, LoadTestJob

T = TypeVar("T")

_SIGNS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "warn": "!"}


@click.command("loadtest", short_help="Does it hold its objective at a rate?")
@click.argument("model", required=False)
@click.option("--version", type=int, metavar="N", help="Test this version by itself, not what runs.")
@click.option("--rate", type=float, metavar="R", help="Requests a second; the objective's by default.")
@click.option(
    "--for", "span", callback=length, default="30s", metavar="TIME", show_default=True, help="How long."
)
@click.option(
    "--arrivals",
    type=click.Choice(["poisson", "constant"]),
    default="poisson",
    show_default=True,
    help="At random, or evenly.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), metavar="N", default=0, help="Of what is random.")
@click.option(
    "--rows",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Ask these rows (JSON lines), not the version's example.",
)
@click.option("--env", metavar="NAME", default="", help="The environment whose running server is tested.")
@json_option
@pass_app
@click.pass_context
def loadtest(
    context: click.Context,
    app: App,
    model: str | None,
    version: int | None,
    rate: float | None,
    span: timedelta,
    arrivals: Literal["poisson", "constant"],
    seed: int,
    rows: Path | None,
    env: str,
) -> None:
    """Send requests and hold the answers against [serve.objective].

    With --version on a replica of its own, without traffic; else on what runs,
    where it is neither logged nor counted. Ctrl-C stops it at once; then
    nothing is judged.

    Exit codes: 0 holds, 1 doesn't, 3 can't tell, 2 error.
    """
    from treadle.deploy import NewLoadTest

    new = NewLoadTest(
        version=version,
        rate=rate,
        seconds=span.total_seconds(),
        arrivals=arrivals,
        seed=seed,
        rows=_rows(rows) if rows else (),
        environment=env,
    )
    model = app.model(model)
    found = watched(app, lambda follow: app.client.load_test(model, new, follow), "nothing was judged")
    app.answer(found, _show)
    context.exit(CODES[found.outcome])


def watched(app: App, ask: Callable[[Callable[[LoadTestJob], None]], T], stopped: str) -> T:
    """Asks for what makes a load test, telling how far that is; whoever interrupts it stops it.

    Args:
        app: The command line's state.
        ask: Asks, and tells what it is given how far the load test is.
        stopped: What that means, told to whoever interrupts it.
    """
    status = show.console(stderr=True).status("starting")
    shown = not app.json and not show.is_dumb()
    last = None

    def follow(job: LoadTestJob) -> None:
        nonlocal last
        last = job
        status.update(job.progress.sentence)
        if job.state != "running":
            status.stop()
        elif shown:
            status.start()

    try:
        return ask(follow)
    except KeyboardInterrupt:
        status.stop()
        if last is not None and last.state != "done":
            sent = f"{last.progress.sent:,} requests had been sent"
            click.echo(f"stopped: {sent}; {stopped}, and nothing of it runs any more", err=True)
        raise
    finally:
        status.stop()


def _rows(path: Path) -> tuple[dict[str, Any], ...]:
    """Reads rows, one JSON object a line.

    Raises:
        InvalidInput: If a line is none; says which.
    """
    import msgspec

    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.MsgspecError as error:
            raise InvalidInput(
                f"it is no row: {error}",
                where=f"{path}:{number}",
                fix='give one JSON object a line: {"price": 89.0, "country": "DE"}',
            ) from None
    return tuple(rows)


def _show(found: LoadTest) -> None:
    where = f"revision {found.revision}" if found.revision else "a replica of its own"
    rate = f"{found.rate:g} a second for {found.seconds:g} s ({found.arrivals})"
    show.facts(
        [
            ("tested", f"{found.model}/{found.version}, {where}"),
            ("sent", f"{found.requests:,} requests, {rate}"),
            ("failed", f"{found.failed:,}"),
            ("p50, p99", f"{show.number(found.p50_ms)} ms, {show.number(found.p99_ms)} ms"),
        ]
    )
    if found.cancelled:
        show.say(f"stopped, nothing was judged: {found.cancelled}", "red")
        return
    for verdict in found.verdicts:
        show.say(f"  {_SIGNS[verdict.outcome]} {verdict.check}: {verdict.sentence}")
        if verdict.n_needed:
            show.say(f"  some {verdict.n_needed:,} requests would probably tell", "dim")
    show.say(show.state(found.outcome))
    if found.outcome == "pass" and found.revision is None:
        show.following(f"treadle deploy {found.model}/{found.version} --plan")
    elif found.outcome == "inconclusive":
        version = f" --version {found.version}" if found.revision is None else ""
        show.following(f"treadle deploy loadtest {found.model}{version} --for {4 * found.seconds:g}s")
