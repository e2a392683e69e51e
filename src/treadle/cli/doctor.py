"""``treadle doctor``: explains the environment, line by line, each with what to do about it."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.kernel.errors import TreadleError
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.kernel.config import Config
    from treadle.kernel.types import Health

_EXTRAS = {
    "platform": ("alembic", "blake3", "dbos", "deltalake", "duckdb", "obstore", "onnxruntime", "scipy",
                 "sqlalchemy", "starlette", "uvicorn"),
    "sklearn": ("onnxruntime", "sklearn", "skl2onnx"),
}  # fmt: skip
_LOW_DISK = 1 << 30
_NO_DISK = 100 << 20


class Finding(msgspec.Struct, frozen=True):
    """What one look found.

    Attributes:
        subject: What was looked at.
        state: Fine, worth knowing, or in the way.
        text: What was found.
        fix: What to do about it.
    """

    subject: str
    state: Literal["ok", "warn", "fail"]
    text: str
    fix: str | None = None


@click.command(short_help="Explain the environment: what is fine, what isn't")
@json_option
@pass_app
def doctor(app: App) -> int:
    """Explain the environment: what is fine, what is in the way, and what to do.

    Works without a project. Exit code 1 when something is in the way.
    """
    found = list(examine(app))
    app.answer(found, show_findings)
    return 1 if any(finding.state == "fail" for finding in found) else 0


def show_findings(found: list[Finding]) -> None:
    """Prints what was found."""
    show.table(
        ["", "!what", "found"],
        [(show.mark(finding.state), finding.subject, finding.text) for finding in found],
    )
    troubled = [finding for finding in found if finding.fix]
    if troubled:
        show.say()
    for finding in troubled:
        show.item(finding.state, f"{finding.subject}: {finding.fix}")


def examine(app: App) -> Iterator[Finding]:
    """Looks at everything, from the interpreter to the stores."""
    yield _versions()
    yield from _extras()
    yield _git()
    config = None
    try:
        root = app.root
    except TreadleError as error:
        yield Finding("project", "warn", error.message, error.fix)
        yield _disk(app.start)
        if not (app.url or os.environ.get("TREADLE_URL")):
            return
    else:
        config = yield from _config(root)
        yield _disk(root)
        if config is None:
            return
        yield from _project(root, config)
    health = yield from _server(app)
    if health is not None:
        yield _blobs(app, health)


def _versions() -> Finding:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("click", "msgspec", "rich", "urllib3"))
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return Finding("treadle", "ok", f"{version('treadle')} on {machine}; {libraries}")


def _extras() -> Iterator[Finding]:
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        if not missing:
            yield Finding(f"extra {extra}", "ok", "installed" + _versions_of(extra))
        else:
            lacks = "not installed" if len(missing) * 2 > len(modules) else f"lacks {', '.join(missing)}"
            needed = f"where cycles run or models train: pip install 'treadle[{extra}]'"
            yield Finding(f"extra {extra}", "warn", lacks, needed)


def _versions_of(extra: str) -> str:
    names = {"platform": ("dbos", "duckdb", "sqlalchemy"), "sklearn": ("scikit-learn", "skl2onnx")}[extra]
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return f": {', '.join(found)}" if found else ""


def _git() -> Finding:
    if found := shutil.which("git"):
        return Finding("git", "ok", found)
    return Finding("git", "warn", "not on PATH", "install git: versions of a model then name their commit")


def _config(root: Path) -> Generator[Finding, None, Config | None]:
    """Looks at ``treadle.toml``; returns it if it can be used."""
    from treadle.kernel.config import load_config

    try:
        config = load_config(root)
    except TreadleError as error:
        fix = error.fix or "correct that line"
        yield Finding("treadle.toml", "fail", f"{error.message} ({error.where})", fix)
        return None
    yield Finding("treadle.toml", "ok", f"{root / 'treadle.toml'}: project {config.project.name}")
    return config


def _project(root: Path, config: Config) -> Iterator[Finding]:
    for name, data in config.data.items():
        if (root / data.path).exists():
            yield Finding(f"data {name}", "ok", data.path)
        else:
            yield Finding(
                f"data {name}", "fail", f"{data.path} is missing", "put it there, or correct `path`"
            )
    yield from _folders(root, config)
    yield from _notify(config)
    yield from _webhooks(config)
    if config.train is None:
        yield Finding("training", "warn", "treadle.toml has no [train]", "add command, data and features")
        return
    yield _command(root, config.train.command)


def _notify(config: Config) -> Iterator[Finding]:
    """Looks at who is told of trouble, and whether the secrets for that are here."""
    notify, hook = config.monitor.notify, config.monitor.webhook
    named = {"webhook": notify.webhook or hook, "Slack": notify.slack_env, "e-mail": notify.email}
    told = [name for name, value in {**named, "Alertmanager": notify.alertmanager}.items() if value]
    if not told:
        return
    password = notify.email.password_env if notify.email else None
    missing = [name for name in (notify.slack_env, password) if name and not os.environ.get(name)]
    if missing:
        text = f"told by {', '.join(told)}, but {' and '.join(missing)} is not set here"
        yield Finding("notices", "warn", text, "set it for the process that runs `treadle up`")
    else:
        yield Finding("notices", "ok", f"told by {', '.join(told)}; `treadle incidents test` tries them")


def _webhooks(config: Config) -> Iterator[Finding]:
    """Looks whether the secrets are here that webhooks are checked by."""
    for name, trigger in config.retrain.triggers.items():
        if trigger.on == "webhook" and not os.environ.get(trigger.secret):
            text = f"the trigger {name!r} refuses webhooks: {trigger.secret} is not set here"
            yield Finding("triggers", "warn", text, "set it for the process that runs `treadle up`")


def _command(root: Path, command: str) -> Finding:
    """Looks for the program that trains, where jobs look for it: this interpreter's folder comes first."""
    try:
        program = shlex.split(command)[0]
    except (ValueError, IndexError):
        return Finding("training", "fail", f"`{command}` is no command", "correct `train.command`")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    found = shutil.which(str(root / program) if os.sep in program else program, path=path)
    if found is None:
        return Finding(
            "training", "fail", f"{program!r} isn't found", "install it, or correct `train.command`"
        )
    return Finding("training", "ok", f"`{command}` by {found}")


def _folders(root: Path, config: Config) -> Iterator[Finding]:
    """Looks at the stores that are folders: whether something could be written there."""
    for name in ("metadata", "blobs", "tables"):
        url: str = getattr(config.store, name)
        if "://" in url and not url.startswith("sqlite:///"):
            continue
        path = root / url.removeprefix("sqlite:///")
        nearest = next(place for place in (path, *path.parents) if place.exists())
        if not os.access(nearest, os.W_OK) or (nearest.is_file() and nearest != path):
            yield Finding(f"store {name}", "fail", f"{path} can't be written", f"make {nearest} writable")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{format_bytes(free)} free at {folder}"
    if free < _LOW_DISK:
        return Finding("disk", "fail" if free < _NO_DISK else "warn", text, "free some space")
    return Finding("disk", "ok", text)


def _server(app: App) -> Generator[Finding, None, Health | None]:
    """Asks whoever answers; returns its answer if there is one."""
    try:
        client = app.client
        health: Health = client.health()
    except TreadleError as error:
        yield Finding("server", "fail", f"{error.message} ({error.where or app.start})", error.fix)
        return None
    except Exception as error:  # noqa: BLE001 - a doctor outlives what it looks at
        text = f"the workspace can't be opened: {error.__class__.__name__}: {error}"
        yield Finding("server", "fail", text, "please report it: `treadle runs` keeps the traceback")
        return None
    where = "none runs; each command opens the workspace itself" if client.embedded else f"at {client.server}"
    yield Finding("server", "ok", f"{where}; Treadle {health.version}")
    if health.version != version("treadle"):
        fix = "use the same version on both sides"
        yield Finding("version", "warn", f"here {version('treadle')}, there {health.version}", fix)
    yield Finding("metadata", "ok", f"{health.metadata}, schema {health.schema}")
    if health.replaying:
        yield Finding("clock", "warn", f"replaying: {show.when(health.now)}", "`treadle replay stop` ends it")
    return health


def _blobs(app: App, health: Health) -> Finding:
    """Writes the same few bytes each time, which are kept once, and reads them back."""
    with tempfile.TemporaryDirectory() as folder:
        sent, back = Path(folder, "sent"), Path(folder, "back")
        sent.write_bytes(b"treadle doctor\n")
        try:
            app.client.fetch_blob(app.client.put_blob(sent), back)
        except TreadleError as error:
            return Finding("blobs", "fail", f"{health.blobs}: {error.message}", error.fix)
        if back.read_bytes() != sent.read_bytes():
            return Finding("blobs", "fail", f"{health.blobs} gave other bytes back", "check the store")
    return Finding("blobs", "ok", f"{health.blobs}, written and read back")
