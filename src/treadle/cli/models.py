"""``treadle models``: versions, what each is made of, and the word that lets one into production."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.data.types import DataInput
    from treadle.deploy.types import Revision
    from treadle.registry.types import ModelVersion


@click.group(cls=Group, default="ls", for_ref="show", short_help="Model versions: ls, show, approve, archive")
def models() -> None:
    """Model versions. `treadle models` alone lists.

    A version is written flights/3, flights@production or flights@latest; 3 and
    @production mean the project's own model.
    """


@models.command("ls")
@click.argument("model", required=False)
@json_option
@pass_app
def ls(app: App, model: str | None) -> None:
    """List versions, newest first."""
    app.answer(app.client.models(model), show_models)


def show_models(found: list[ModelVersion]) -> None:
    """Prints model versions."""
    metrics = show.ranked({name for version in found for name in version.metrics})[:3]
    rows = [
        (
            version.ref,
            show.state(version.status),
            version.created_at,
            _approver(version),
            *(version.metrics.get(name) for name in metrics),
        )
        for version in found
    ]
    headings = ["!version", "!status", "!registered", "approved by", *(f">{name}" for name in metrics)]
    show.table(headings, rows, empty="no versions yet")
    show.following(f"treadle models show {found[0].ref}" if found else "treadle run")


def _approver(version: ModelVersion) -> str | None:
    by = version.approved_by
    return "its cycle" if by and by.startswith("cycle:") else by


@models.command("show")
@click.argument("ref")
@json_option
@pass_app
def show_one(app: App, ref: str) -> None:
    """Show what a version is made of and how it was judged."""
    app.answer(app.client.model(app.ref(ref)), lambda version: show_model(app, version))


def show_model(app: App, version: ModelVersion) -> None:
    """Prints a model version."""
    takes = version.signature
    inputs = ", ".join(f"{field.name} {field.kind}" for field in takes.inputs) if takes else None
    show.facts(
        [
            ("version", version.ref),
            ("status", show.state(version.status)),
            ("registered", version.created_at),
            ("approved by", version.approved_by),
            ("run", version.run),
            ("cycle", version.cycle),
            *((data.role, _data(data)) for data in version.data),
            ("takes", inputs),
            ("gives", takes.output if takes else None),
            ("parameters", ", ".join(f"{key}={value}" for key, value in version.params.items()) or None),
            ("seed", version.seed),
            ("metrics", ", ".join(f"{key} {show.number(value)}" for key, value in version.metrics.items())),
            ("code", version.code[:16]),
            ("environment", version.environment[:16]),
            ("recipe", version.recipe[:16]),
            ("content", f"{version.id[:16]}, {format_bytes(sum(file.size for file in version.files))}"),
        ]
    )
    show.say()
    show.verdicts(app.client.evaluation(name) for name in version.evaluations)
    if version.status in ("candidate", "staging"):
        show.following(f"treadle models approve {version.ref} --reason 'why'")


def _data(data: DataInput) -> str:
    since, until = (f"{moment:%Y-%m-%d}" if moment else "…" for moment in (data.spec.since, data.spec.until))
    return f"{data.spec.dataset}@v{data.number}, {since} to {until}, {show.counted(data.rows, 'row')}"


@models.command("approve")
@click.argument("ref")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")
@json_option
@pass_app
def approve(app: App, ref: str, reason: str) -> None:
    """Let a held version into production, and deploy it."""
    app.answer(app.client.approve(app.ref(ref), reason), show_approval)


@models.command("archive")
@click.argument("ref")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")
@json_option
@pass_app
def archive(app: App, ref: str, reason: str) -> None:
    """Put a version away for good: its data may be deleted then."""
    done = app.client.archive(app.ref(ref), reason)
    app.answer(done, lambda version: show.say(f"{version.ref} is archived"))


def show_approval(revision: Revision) -> None:
    """Prints what an approval set off."""
    show.say(f"{revision.model}/{revision.version} is approved; revision {revision.revision} deploys it")
    show.following("treadle deploy status")
