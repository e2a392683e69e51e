"""The entry point: finds the verb, and turns every error into what happened, where and what to do."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from keyword import iskeyword
from pathlib import Path

import click

from treadle.cli.app import App, Group
from treadle.kernel.errors import ErrorBody, NotFound, TreadleError
from treadle.kernel.names import did_you_mean

INTERRUPTED = 130
_VERBS = {
    "init": "init",
    "up": "server",
    "run": "run",
    "train": "run",
    "runs": "runs",
    "sql": "sql",
    "data": "data",
    "check": "check",
    "models": "models",
    "deploy": "deploy",
    "rollback": "deploy",
    "monitor": "monitor",
    "incidents": "incidents",
    "history": "history",
    "lineage": "lineage",
    "retrain": "retrain",
    "cycles": "cycles",
    "replay": "replay",
    "report": "history",
    "serve": "server",
    "sync": "runs",
    "import": "moving",
    "export": "moving",
    "infra": "infra",
    "gc": "deleting",
    "doctor": "doctor",
}
# Seldom needed: named in one line, so that the help fits a screen.
_SELDOM = ("sql", "lineage", "replay", "report", "serve", "sync", "import", "export", "infra", "gc")
# In the help of another verb already.
_TOLD = ("rollback",)


class Verbs(Group):
    """All verbs; each is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs, in the order in which a project meets them."""
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """A verb, imported from its file."""
        if cmd_name not in _VERBS:
            return None
        module = importlib.import_module(f"treadle.cli.{_VERBS[cmd_name]}")
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(module, name)
        return command

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes help that fits a screen of 24 lines."""
        formatter.write(f"{self.help}\n")
        self.format_usage(ctx, formatter)
        formatter.write("\n")
        often = [name for name in self.list_commands(ctx) if name not in (*_SELDOM, *_TOLD)]
        seldom = " ".join(name for name in self.list_commands(ctx) if name in _SELDOM)
        commands = ((name, self.get_command(ctx, name)) for name in often)
        with formatter.indentation():
            rows = [(name, c.get_short_help_str(60)) for name, c in commands if c]
            formatter.write_dl([*rows, ("also:", seldom)])
            formatter.write("\n")
            options = [parameter.get_help_record(ctx) for parameter in self.get_params(ctx)]
            formatter.write_dl([option for option in options if option])


def _version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"treadle {version('treadle')}")
        context.exit()


@click.command(cls=Verbs, default=None, invoke_without_command=True)
@click.option("--url", metavar="URL", help="The server to talk to (or TREADLE_URL).")
@click.option(
    "--project",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The project's folder (or one above the working folder).",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print it."
)
@click.pass_context
def treadle(context: click.Context, url: str | None, project: Path | None) -> None:
    """Experiment, train, evaluate, deploy, monitor, retrain: and round again."""
    app = context.ensure_object(App)
    app.url, app.project = url, project
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def run(arguments: Sequence[str]) -> int:
    """Runs one command.

    Returns:
        The exit code: 0 done, 1 a check failed, 2 an error, 3 inconclusive, 130 interrupted.
    """
    app = App()
    code = _call(app, arguments)
    if code != INTERRUPTED:  # who interrupts doesn't want to wait; every step is durable
        app.close()
    return code


def _call(app: App, arguments: Sequence[str]) -> int:
    as_json = "--json" in arguments
    try:
        code = treadle.main(
            list(arguments),
            prog_name="treadle",
            standalone_mode=False,
            obj=app,
            help_option_names=["-h", "--help"],
            max_content_width=80,
        )
        sys.stdout.flush()
    except TreadleError as error:
        return _tell(error.body(), as_json)
    except click.UsageError as error:
        return _tell(_usage(error), as_json)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing must be flushed into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - a user sees no traceback
        return _tell(_crash(app, error), as_json)
    return code if isinstance(code, int) else 0


def _usage(error: click.UsageError) -> ErrorBody:
    path = error.ctx.command_path if error.ctx else "treadle"
    fix: str | None = f"see `{path} --help`"
    if isinstance(error, click.NoSuchOption) and error.ctx:
        known = [name for p in error.ctx.command.get_params(error.ctx) for name in p.opts]
        fix = did_you_mean(error.option_name, (name for name in known if name.startswith("--")))
        return ErrorBody("invalid_input", f"`{path}` has no option {error.option_name}", fix=fix)
    message = error.message.rstrip(".")
    if isinstance(error, click.MissingParameter | click.BadParameter):
        message = error.format_message().rstrip(".")
    return ErrorBody("invalid_input", message[:1].lower() + message[1:], where=path, fix=fix)


def _crash(app: App, error: Exception) -> ErrorBody:
    """Keeps the traceback in a file for whoever will look into it."""
    text = "".join(traceback.format_exception(error))
    name = f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    try:
        folder = app.root / ".treadle"
    except NotFound:
        folder = app.start / ".treadle"
    for place in (folder, Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            place.mkdir(exist_ok=True)
            (place / name).write_text(text)
            break
    reason = f"{error.__class__.__name__}: {error}".splitlines()[0]
    return ErrorBody(
        "internal",
        f"something broke inside Treadle: {reason}",
        where=str(place / name),
        fix="please report it, with that file",
    )


def _tell(body: ErrorBody, as_json: bool) -> int:
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(body), err=True)
        return 2
    click.echo(f"{click.style('error:', fg='red', bold=True)} {body.message}", err=True)
    for name, text in (("where", body.where), ("fix", body.fix)):
        if text:
            click.echo(f"  {name}: {text}", err=True)
    return 2


def main() -> None:
    """``treadle``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a narrow terminal encoding must not end a command
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    # All is closed by now. Taking the interpreter apart would wait for an embedded server's threads,
    # and DuckDB complains on the terminal of what they still hold.
    os._exit(code)


if __name__ == "__main__":
    main()
