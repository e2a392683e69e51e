"""What every verb shares: the client behind it, ``--json``, groups that answer to near misses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from treadle.kernel.config import find_project
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean, nearest
from treadle.kernel.units import parse_duration

if TYPE_CHECKING:
    from treadle.client import Client

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class App:
    """One call of the command line.

    Attributes:
        url: The server's address, if one was named.
        project: The project's folder, if one was named.
        json: Whether answers are printed as JSON.
    """

    def __init__(self) -> None:
        self.url: str | None = None
        self.project: Path | None = None
        self.json = False
        self._client: Client | None = None

    @property
    def start(self) -> Path:
        """The folder that was named, or the working folder."""
        return (self.project or Path.cwd()).resolve()

    @property
    def root(self) -> Path:
        """The project's folder.

        Raises:
            NotFound: If there is no project here or above.
        """
        return find_project(self.start)

    @property
    def client(self) -> Client:
        """The one way in; opened when first asked for."""
        if self._client is None:
            from treadle.client import connect

            self._client = connect(self.url, self.root if self.project else None)
            self._warn()
        return self._client

    def _warn(self) -> None:
        from treadle.client import is_outdated

        if self.url or "TREADLE_URL" in os.environ or not self._client or self._client.embedded:
            return
        if is_outdated(self.root):
            click.secho(
                "note: treadle.toml has changed since the server started, which goes by what it said then; "
                "restart `treadle up`",
                fg="yellow",
                err=True,
            )

    def model(self, name: str | None) -> str:
        """The model that was named, or the project's own."""
        return name or self.client.health().model

    def ref(self, text: str) -> str:
        """A version as the API takes it; ``3`` and ``@production`` are the project's own model's."""
        if text.isdecimal():
            return f"{self.model(None)}/{text}"
        return f"{self.model(None)}{text}" if text.startswith("@") else text

    def answer(self, value: T, show: Callable[[T], None]) -> None:
        """Prints what was found: as JSON if that was asked for, for people otherwise."""
        if not self.json:
            show(value)
            return
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))

    def close(self) -> None:
        """Lets go of the client."""
        if self._client is not None:
            self._client.close()


pass_app = click.make_pass_decorator(App)


def _ask_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(App).json = True


def json_option(command: F) -> F:
    """Adds ``--json`` to a verb."""
    option = click.option(
        "--json", is_flag=True, expose_value=False, callback=_ask_json, help="Print JSON and nothing else."
    )
    return option(command)


class Group(click.Group):
    """Verbs of one kind, of which one is meant when none is named.

    Args:
        default: The verb that is meant when none is named.
        for_ref: The verb that is meant when a model version stands in a verb's place.
        for_model: The verb that is meant when a word stands there that isn't near to any verb's name.
        for_path: What to do where a file stands in a verb's place; ``{}`` is the file.
        topics: Verbs by what they are about, where there are too many for a screen.
    """

    def __init__(
        self,
        *args: Any,
        default: str | None = None,
        for_ref: str | None = None,
        for_model: str | None = None,
        for_path: str = "",
        topics: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.default = default
        self.for_ref = for_ref
        self.for_model = for_model
        self.for_path = for_path
        self.topics = topics

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the verbs; by topic, without what they do, where there are too many for a screen."""
        if self.topics is None:
            super().format_commands(ctx, formatter)
            return
        known = self.list_commands(ctx)
        told = {name for names in self.topics.values() for name in names}
        rest = [name for name in known if name not in told]
        rows = [(topic, ", ".join(names)) for topic, names in self.topics.items()]
        with formatter.section(f"Commands (`{ctx.command_path} COMMAND --help` tells more)"):
            formatter.write_dl([*rows, ("Also", ", ".join(rest))] if rest else rows)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts in the verb that was left out."""
        if self.default and (not args or (args[0].startswith("-") and args[0] not in ("-h", "--help"))):
            args = [self.default, *args]
        elif self.for_ref and args and (args[0].isdigit() or "/" in args[0] or "@" in args[0]):
            args = [self.for_ref, *args]
        elif self.for_model and args and not args[0].startswith("-"):
            known = self.list_commands(ctx)
            if args[0] not in known and not nearest(args[0], known):
                args = [self.for_model, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds a verb.

        Raises:
            InvalidInput: If there is none of that name, with the nearest that there is.
        """
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            fix = self.for_path.format(args[0]) if self.for_path and Path(args[0]).exists() else ""
            if not fix and not nearest(args[0], known):
                fix = ", or ".join(f"`{path}`" for path in _elsewhere(ctx.find_root(), args[0]))
            raise InvalidInput(
                f"`{ctx.command_path}` has no command {args[0]!r}", fix=fix or did_you_mean(args[0], known)
            )
        return super().resolve_command(ctx, args)


def _elsewhere(root: click.Context, name: str) -> Iterator[str]:
    """Where else there is a command of that name."""
    verbs = root.command
    if not isinstance(verbs, click.Group):
        return
    for verb in verbs.list_commands(root):
        command = verbs.get_command(root, verb)
        if verb == name:
            yield f"{root.command_path} {verb}"
        if isinstance(command, click.Group) and name in command.list_commands(root):
            yield f"{root.command_path} {verb} {name}"


def moment(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """Reads an argument such as ``2013-07-01`` or ``2013-07-01 12:00``; UTC unless it says otherwise.

    Raises:
        InvalidInput: If it is neither.
    """
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidInput(
            f"{value!r} is not a date", fix="write it as 2013-07-01 or '2013-07-01 12:00' (UTC)"
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def length(_: click.Context, __: click.Parameter, value: str) -> timedelta:
    """Reads an option such as ``7d``; raises InvalidInput if it isn't a duration."""
    return parse_duration(value)
