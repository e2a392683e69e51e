"""``treadle models``: versions, what each is made of, and the word that lets one into production."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.cli.deploy import strategy_option
from treadle.cli.loadtest import watched
from treadle.cli.model_archives import export_model, import_model
from treadle.cli.model_cards import card
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.data.types import DataInput
    from treadle.kernel.config import StrategyName
    from treadle.registry.types import ModelVersion, Pickled, Standing
    from treadle.retrain.types import Approved


@click.group(
    cls=Group, default="ls", for_ref="show", short_help="Model versions: ls, show, register, approve, alias …"
)
def models() -> None:
    """Model versions. `treadle models` alone lists.

    A version is written flights/3, flights@production or flights@latest; 3 and
    @production mean the project's own model.
    """


models.add_command(card)
models.add_command(export_model)
models.add_command(import_model)


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


def _pickle(found: Pickled) -> str:
    said = {"known": "imports libraries of models only", "code": "brings code", "dangerous": "DANGEROUS"}
    return f"{found.path}: {said[found.verdict]}" + (f" ({', '.join(found.names)})" if found.names else "")


def show_model(app: App, version: ModelVersion) -> None:
    """Prints a model version."""
    takes = version.signature
    inputs = ", ".join(f"{field.name} {field.kind}" for field in takes.inputs) if takes else None
    content = version.id and f"{version.id[:16]}, {format_bytes(version.size)}"
    show.facts(
        [
            ("version", version.ref),
            ("status", show.state(version.status)),
            ("registered", version.created_at),
            ("aliases", ", ".join(f"@{name}" for name in version.aliases) or None),
            ("tags", ", ".join(f"{key}={value}" for key, value in version.tags.items()) or None),
            ("what for", version.description or None),
            ("made by", version.made_by or None),
            ("imported", _imported(version)),
            ("owner", version.owner or None),
            ("licence", version.licence or None),
            ("needs", version.hardware or None),
            ("files at", version.source or None),
            ("approved by", version.approved_by),
            ("run", version.run),
            ("cycle", version.cycle),
            *((data.role, _data(data)) for data in version.data),
            *((used.context or "data", f"{used.name} {used.digest}") for used in version.used),
            ("takes", inputs or version.interface or None),
            ("gives", ", ".join(takes.gives) if takes else None),
            *(("pickle", _pickle(one)) for one in version.pickles),
            ("parameters", ", ".join(f"{key}={value}" for key, value in version.params.items()) or None),
            ("seed", version.seed),
            (
                "metrics",
                ", ".join(f"{key} {show.number(value)}" for key, value in version.metrics.items()) or None,
            ),
            ("curves", f"treadle runs show {version.run}" if version.curves else None),
            ("code", version.code[:16] or None),
            ("environment", version.environment[:16] or None),
            ("recipe", version.recipe[:16] or None),
            ("loaded as", ", ".join(version.flavors) or None),
            ("content", content or None),
            ("not known", ", ".join(version.missing) or None),
        ]
    )
    show.say()
    show.verdicts(app.client.evaluation(name) for name in version.evaluations)
    standing = app.client.standing(version.ref)
    for one in standing.approvals:
        taken = f", withdrawn by {one.withdrawn_by}: {one.withdrawn_reason}" if one.withdrawn_at else ""
        show.say(f"approved for {one.stage} by {one.actor}, {show.when(one.at)}: {one.reason}{taken}")
    if standing.needed:
        show_standing(standing)
    if standing.next:
        show.following(f"treadle models approve {version.ref} --reason 'why'")


def _imported(version: ModelVersion) -> str | None:
    origin = version.imported
    if origin is None:
        return None
    return (
        f"{origin.ref} of {origin.project}, {origin.status} there; by {origin.actor}, {show.when(origin.at)}"
        + (f"; signed by {origin.signed_by}" if origin.signed_by else "")
    )


def _data(data: DataInput) -> str:
    since, until = (f"{moment:%Y-%m-%d}" if moment else "…" for moment in (data.spec.since, data.spec.until))
    return f"{data.spec.dataset}@v{data.number}, {since} to {until}, {show.counted(data.rows, 'row')}"


@models.command("approve")
@click.argument("ref")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")
@strategy_option
@json_option
@pass_app
def approve(app: App, ref: str, reason: str, strategy: StrategyName | None) -> None:
    """Approve a version for its next stage; production deploys it.

    Where [deploy] loadtest asks for a load test, it is made first, and Ctrl-C
    stops it: then nothing was approved.
    """
    ref = app.ref(ref)
    done = watched(
        app, lambda follow: app.client.approve(ref, reason, strategy, follow), f"{ref} is not approved"
    )
    app.answer(done, show_approval)


@models.command("register")
@click.argument("run")
@click.option("--model", metavar="NAME", help="The model; the project's own if left out.")
@click.option(
    "--path", default="model", show_default=True, help="The folder of the run's files that holds it."
)
@click.option("--licence", default="", metavar="TEXT", help="Under which licence it may be used.")
@click.option("--hardware", default="", metavar="TEXT", help="What it needs to run.")
@click.option("--owner", default="", metavar="TEXT", help="Who answers for it.")
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@json_option
@pass_app
def register(app: App, /, run: str, **stated: Any) -> None:
    """Register the model that a run logged."""
    from treadle.registry.types import Registration

    app.answer(app.client.register_model(Registration(run=run, **stated)), show_registered)


def show_registered(version: ModelVersion) -> None:
    """Prints what was registered, and what isn't known of it."""
    show.say(f"{version.ref} is registered")
    if version.missing:
        show.say(f"not known: {', '.join(version.missing)}", "dim")
    show.following(f"treadle models show {version.ref}")


@models.command("alias")
@click.argument("ref")
@click.argument("alias")
@click.option("--remove", is_flag=True, help="Take the alias away from the model.")
@json_option
@pass_app
def alias(app: App, ref: str, alias: str, remove: bool) -> None:
    """Let a name such as champion mean a version: flights@champion."""
    ref = app.ref(ref)
    if remove:
        done = app.client.delete_alias(app.client.model(ref).model, alias)
        app.answer(done, lambda version: show.say(f"@{alias} doesn't name {version.ref} any more"))
    else:
        done = app.client.set_alias(ref, alias)
        app.answer(done, lambda version: show.say(f"{version.model}@{alias} is {version.ref}"))


@models.command("tag")
@click.argument("ref")
@click.argument("key")
@click.argument("value", required=False)
@json_option
@pass_app
def tag(app: App, ref: str, key: str, value: str | None) -> None:
    """Set a version's tag; without a value, take it away."""
    ref = app.ref(ref)
    done = app.client.untag_model(ref, key) if value is None else app.client.tag_model(ref, key, value)
    app.answer(done, show_tags)


def show_tags(version: ModelVersion) -> None:
    """Prints a version's tags."""
    tags = ", ".join(f"{key}={value}" for key, value in sorted(version.tags.items()))
    show.say(f"{version.ref} has {f'the tags {tags}' if tags else 'no tags'}")


@models.command("refuse")
@click.argument("ref")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")
@json_option
@pass_app
def refuse(app: App, ref: str, reason: str) -> None:
    """Refuse a version that waits for an approval: it stays out."""
    app.answer(app.client.refuse(app.ref(ref), reason), show_refused)


def show_refused(version: ModelVersion) -> None:
    """Prints that a version stays out."""
    show.say(f"{version.ref} is refused")
    show.following(f"treadle models show {version.ref}")


@models.command("archive")
@click.argument("ref")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")
@json_option
@pass_app
def archive(app: App, ref: str, reason: str) -> None:
    """Put a version away for good: its data may be deleted then."""
    done = app.client.archive(app.ref(ref), reason)
    app.answer(done, lambda version: show.say(f"{version.ref} is archived"))


def show_approval(done: Approved) -> None:
    """Prints what an approval set off."""
    standing, revision = done.standing, done.revision
    if revision is not None:
        show.say(f"{standing.ref} is approved; revision {revision.revision} deploys it")
        show.following("treadle deploy status")
        return
    if standing.given < standing.needed:
        show_standing(standing)
    else:
        show.say(f"{standing.ref} is in {standing.status}")
    show.following(f"treadle models show {standing.ref}")


def show_standing(standing: Standing) -> None:
    """Prints how many approvals a version has, and who may give more."""
    may = f" ({', '.join(standing.may)} may)" if standing.may else ""
    counted = show.counted(standing.needed, "approval")
    show.say(f"{standing.ref} has {standing.given} of {counted} for {standing.next}{may}")


@models.command("withdraw")
@click.argument("ref")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")
@json_option
@pass_app
def withdraw(app: App, ref: str, reason: str) -> None:
    """Take back your approval of a version."""
    done = app.client.withdraw_approval(app.ref(ref), reason)
    app.answer(done, lambda standing: show.say(f"{standing.ref} is not approved by you any more"))
