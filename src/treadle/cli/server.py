"""``treadle up`` and ``treadle serve``: the server, and one replica of the inference server."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli.app import App, pass_app
from treadle.kernel.config import PicklePolicy, ServeConfig, load_config
from treadle.kernel.errors import InvalidInput, MissingExtra, NotFound, Unavailable
from treadle.kernel.names import check_name

if TYPE_CHECKING:
    from treadle.deploy import ReplicaOptions


def _needs(module: str, what: str) -> None:
    if find_spec(module) is None:
        raise MissingExtra(f"{what} isn't part of the thin client", fix="pip install 'treadle[platform]'")


@click.command(short_help="Start the server of this project")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8090,
    show_default=True,
    help="The port; 0 takes a free one.",
)
@pass_app
def up(app: App, host: str, port: int) -> None:
    """Start the server of this project, and go on with interrupted cycles.

    It answers until Ctrl-C. While it runs, every other command goes through it.
    """
    _needs("uvicorn", "the server")
    root = app.root
    from treadle.api import serve as serve_api

    serve_api(root, host, port)
    # A cycle's stage that waits for its job would be waited for. The job goes on, and so does
    # the cycle: with the next `treadle up`.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@click.command(short_help="Start one more inference server")
@click.option("--host", help="The address to listen on; [serve] host by default.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port; [serve] port by default.")
@click.option(
    "--grpc-port", type=click.IntRange(0, 65535), help="The port for gRPC; [serve] grpc_port by default."
)
@click.option("--name", default="replica", show_default=True, help="What it calls itself.")
@click.option(
    "--model", "models", multiple=True, metavar="MODEL", help="What it serves; several are allowed."
)
@click.option(
    "--replicas",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many processes; more than one share the port, and are kept alive.",
)
@click.option("--env", metavar="NAME", help="The environment that it serves; the last one by default.")
@pass_app
def serve(
    app: App,
    host: str | None,
    port: int | None,
    grpc_port: int | None,
    name: str,
    models: tuple[str, ...],
    replicas: int,
    env: str | None,
) -> None:
    """Start one inference server of the project's model, in the foreground.

    `treadle up` starts one by itself; this starts more, here or on another
    machine (--url). It loads what is deployed, swaps when that changes, and
    logs predictions. With status 75 it asks to be started again; several
    (--replicas) are started again by themselves.
    """
    _needs("onnxruntime", "the inference server")
    from treadle.deploy import replica_options
    from treadle.deploy.replica import serve as serve_models

    config, pickle, folder = _settings(app)
    state = folder / ".treadle" / "replicas" / check_name("replica", name)
    served = list(models) or [app.model(None)]
    environment = ""
    if env:
        try:  # the last one's deployment has no name
            environment = app.client.deployment(served[0], env).environment
        except Unavailable:  # it serves what it has, and follows the platform once that is back
            environment = env
    rpc = config.grpc_port if grpc_port is None else grpc_port
    options = replica_options(config, served, state, name, host, port, pickle, environment, grpc_port=rpc)
    if replicas > 1:
        _serve_several(app, options, folder / ".treadle" / "logs", replicas, router=config.router)
        return
    status = serve_models(options, app.client, lambda text: click.echo(f"{text} (Ctrl-C ends it)"))
    if status:
        sys.exit(status)


def _serve_several(app: App, options: ReplicaOptions, logs: Path, count: int, *, router: bool) -> None:
    from treadle.deploy import serve_replicas

    if app.client.embedded:
        raise InvalidInput(
            "several replicas follow a server, and none runs here",
            fix="start `treadle up` first, or name one with --url; or leave out --replicas",
        )

    def tell(text: str) -> None:
        click.echo(f"{text} (Ctrl-C ends them)")

    serve_replicas(options, app.client.server, logs, count=count, router=router, announce=tell)


def _settings(app: App) -> tuple[ServeConfig, PicklePolicy, Path]:
    """The project's ``[serve]``, policy on pickles and folder; defaults if it is on another machine."""
    try:
        root = app.root
    except NotFound:
        return ServeConfig(), "warn", app.start
    config = load_config(root)
    return config.serve, config.registry.pickle, root
