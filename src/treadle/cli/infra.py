"""``treadle infra``: files for what runs beside Treadle."""

from __future__ import annotations

from pathlib import Path

import click

from treadle.cli import show
from treadle.cli.app import App, Group, pass_app
from treadle.kernel.files import write_atomic

_out = click.option(
    "-o", "out", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Where to; - prints."
)


@click.group(cls=Group, short_help="Files for what runs beside Treadle: prometheus, grafana")
def infra() -> None:
    """Render files for what runs beside Treadle, from treadle.toml and the registry."""


@infra.command("prometheus")
@_out
@pass_app
def prometheus(app: App, out: Path | None) -> None:
    """Recording and alerting rules for Prometheus.

    Error budgets that burn and slow answers follow [serve.objective]; each
    model in production is to be served. Name the file under rule_files.
    """
    _write(app.client.prometheus_rules(), out)


@infra.command("grafana")
@_out
@pass_app
def grafana(app: App, out: Path | None) -> None:
    """A Grafana dashboard of what the rules record."""
    _write(app.client.grafana_dashboard(), out)


def _write(text: bytes, out: Path | None) -> None:
    if out is None or str(out) == "-":
        click.echo(text.decode(), nl=False)
        return
    write_atomic(out, text)
    show.say(f"wrote {out}")
