"""``treadle data review``: changes of data that are looked at before a branch takes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import click

from treadle.cli import show
from treadle.cli.app import App, Group, json_option, pass_app
from treadle.cli.data_branches import merge_counts, show_diff, whole
from treadle.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from treadle.data import (
        GateResult,
        Merged,
        Review,
        ReviewChange,
        ReviewDetails,
        ReviewEvent,
        Standing,
    )

_REF = re.compile(r"(?:(?P<dataset>[^#]*)#)?(?P<number>\d{1,15})")
_DID = {"changes_requested": "asked for changes", "checked": "ran the checks"}


@click.group("review", cls=Group, short_help="Reviews of data: open, show, approve, check, merge")
def review() -> None:
    """Look at changes of data before a branch takes them.

    A REVIEW is written with its dataset, pets#3; as 3 where there is one dataset.
    """


def _which(app: App, text: str) -> tuple[str, int]:
    """Dataset and number of the review that is meant.

    Raises:
        InvalidInput: If it isn't written like one, or a dataset has to be named.
    """
    found = _REF.fullmatch(text)
    if not found:
        raise InvalidInput(f"{text!r} names no review", fix="write its dataset and number, such as pets#3")
    if found["dataset"]:
        return found["dataset"], int(found["number"])
    known = sorted({version.dataset for version in app.client.datasets()})
    if len(known) != 1:
        raise InvalidInput(
            f"{text!r} doesn't say of which dataset",
            fix=f"write it with its dataset: {known[0] if known else 'NAME'}#{found['number']}",
        )
    return known[0], int(found["number"])


def _verb(name: str, short_help: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A verb about one review."""

    def made(command: Callable[..., Any]) -> click.Command:
        command = click.argument("which", metavar="REVIEW")(json_option(pass_app(command)))
        return review.command(name, short_help=short_help)(command)

    return made


_TEXT = click.option("-m", "--text", metavar="TEXT", default="", help="What there is to say.")
_COMMIT = click.option(
    "--commit", metavar="COMMIT", default="", help="Only if the source stands at this commit."
)


@review.command("open", short_help="Ask for a branch to be merged")
@click.argument("source", metavar="[DATASET@]BRANCH")
@click.option(
    "--into", "target", metavar="BRANCH", default="main", show_default=True, help="What shall move."
)
@click.option("-t", "--title", metavar="TEXT", required=True, help="What it is about, in a line.")
@_TEXT
@json_option
@pass_app
def open_one(app: App, source: str, target: str, title: str, text: str) -> None:
    """Open a review: ask for a branch to be merged into another."""
    from treadle.data import NewReview

    dataset, name = whole(app, source, "branch")
    new = NewReview(source=name, target=target, title=title, text=text)
    app.answer(app.client.open_data_review(dataset, new), _show_opened)


def _show_opened(made: Review) -> None:
    show.say(f"{made.ref}: {made.source} into {made.target}, {made.title}")
    show.following(f"treadle data review show {made.ref}", f"treadle data review check {made.ref}")


@review.command("list", short_help="List a dataset's reviews")
@click.argument("dataset")
@click.option(
    "--state",
    type=click.Choice(["open", "merged", "closed", "all"]),
    default="open",
    show_default=True,
    help="Which.",
)
@click.option("-n", "limit", type=click.IntRange(1, 10_000), default=100, help="At most so many.")
@json_option
@pass_app
def list_all(app: App, dataset: str, state: Literal["open", "merged", "closed", "all"], limit: int) -> None:
    """List the reviews of a dataset, the newest first."""
    found = app.client.data_reviews(dataset, None if state == "all" else state, limit)
    app.answer(found, lambda told: _show_all(told, dataset, state))


def _show_all(found: list[Review], dataset: str, state: str) -> None:
    rows = [
        (one.ref, one.state, one.source, one.target, one.title, one.author, one.created_at) for one in found
    ]
    none = "no reviews yet" if state == "all" else f"no {state} reviews"
    show.table(["!review", "state", "source", "target", "title", "by", "!opened"], rows, empty=none)
    command = f"show {found[0].ref}" if found else f"open {dataset}@BRANCH --title TEXT"
    show.following(f"treadle data review {command}")


@click.option("--rows", is_flag=True, help="Of tables: rows, columns, and statistics of both.")
@_verb("show", "Show a review: its changes, checks, approvals")
def show_one(app: App, which: str, rows: bool) -> None:
    """Show a review: what it changes, what people and checks say, and what is in its way."""
    dataset, number = _which(app, which)
    app.answer(app.client.data_review(dataset, number, rows=rows), _show_details)


def _show_details(found: ReviewDetails) -> None:
    one = found.review
    show.facts(
        [
            ("review", f"{one.ref} {one.title}"),
            ("state", f"merged as {one.dataset}@v{one.merged}" if one.merged else one.state),
            ("source", _at(one.source, found.source, found.source_commit)),
            ("target", _at(one.target, found.target, found.target_commit)),
            ("by", one.author),
            ("opened", one.created_at),
        ]
    )
    if one.text:
        show.say(one.text)
    if found.diff is not None:
        show_diff(found.diff)
    for event in found.events[1:]:
        _show_event(event)
    if found.standing is not None:
        _show_standing(found.standing)
        command = "merge" if not found.standing.blockers else "approve"
        if any(gate.state in {"missing", "stale"} and gate.required for gate in found.standing.gates):
            command = "check"
        show.following(f"treadle data review {command} {one.ref}")


def _at(branch: str, version: str, commit: str) -> str:
    return f"{branch} ({version}, {commit[:12]})" if version else branch


def _show_event(event: ReviewEvent) -> None:
    where = f" on {event.body.path}" if event.body.path else ""
    did = _DID.get(event.kind, event.kind)
    what = f": {event.body.text}" if event.body.text else ""
    show.say(f"{show.when(event.at)} {event.actor} {did}{where}{what}")


def _show_standing(found: Standing) -> None:
    for one in found.approvals:
        stale = " (of an older commit)" if one.stale else ""
        show.item("inconclusive" if one.stale else "pass", f"{one.actor} approved {one.commit[:12]}{stale}")
    for gate in found.gates:
        required = " (required)" if gate.required else ""
        outcome = gate.state if gate.state in {"pass", "warn", "fail"} else "inconclusive"
        word = {"missing": "hasn't run", "stale": "has to run again"}.get(gate.state, gate.state)
        show.item(outcome, f"check {gate.name}{required}: {word}")
        if gate.result is not None and gate.state in {"fail", "inconclusive", "warn"}:
            for finding in gate.result.findings:
                if finding.outcome != "pass":
                    show.say(f"      {finding.sentence}")
    for blocker in found.blockers:
        show.item("fail", blocker)
    if not found.blockers:
        show.item("pass", "it can be merged")


@click.option("--path", metavar="PATH", default="", help="The file that it is about.")
@click.option("-m", "--text", "said", metavar="TEXT", default="", help="What there is to say.")
@click.argument("text", default="")
@_verb("comment", "Say something in a review")
def comment(app: App, which: str, text: str, said: str, path: str) -> None:
    """Say something in a review, about a file or the whole.

    TEXT stands behind the review, or with -m as in the other verbs.
    """
    if bool(text) == bool(said):
        raise InvalidInput(
            "a comment is said once" if text else "there is nothing to say",
            fix=f'write: treadle data review comment {which} -m "TEXT"',
        )
    text = text or said
    dataset, number = _which(app, which)
    app.answer(app.client.comment_on_data(dataset, number, text, path), _show_event)


@_TEXT
@_COMMIT
@_verb("approve", "Approve the source as it stands")
def approve(app: App, which: str, text: str, commit: str) -> None:
    """Approve the source as it stands; another commit on it needs another approval."""
    _decide(app, which, "approved", text, commit)


@click.option("-m", "--text", metavar="TEXT", required=True, help="What should be different.")
@_COMMIT
@_verb("request-changes", "Ask for changes before a merge")
def request_changes(app: App, which: str, text: str, commit: str) -> None:
    """Ask for changes: nothing is merged until you approve, or withdraw this."""
    _decide(app, which, "changes_requested", text, commit)


@_TEXT
@_verb("withdraw", "Take your approval or your objection back")
def withdraw(app: App, which: str, text: str) -> None:
    """Take your approval, or your asking for changes, back."""
    _decide(app, which, "withdrawn", text, "")


def _decide(
    app: App,
    which: str,
    decision: Literal["approved", "changes_requested", "withdrawn"],
    text: str,
    commit: str,
) -> None:
    from treadle.data import Decision

    dataset, number = _which(app, which)
    asked = Decision(decision=decision, text=text, commit=commit)

    def told(event: ReviewEvent) -> None:
        did = {"changes_requested": "changes are asked for", "withdrawn": "withdrawn"}.get(decision, decision)
        show.say(f"{dataset}#{number}: {did} at commit {event.body.source[:12]}")
        show.following(f"treadle data review show {dataset}#{number}")

    app.answer(app.client.decide_data_review(dataset, number, asked), told)


@click.option("--check", "names", metavar="NAME", multiple=True, help="Only this one; repeat for more.")
@_verb("check", "Run the data checks on what the merge would make")
def check(app: App, which: str, names: tuple[str, ...]) -> None:
    """Run the data checks on what the merge would make, beside what the target has.

    Those that the target requires, or all: schema, volume, values, drift, balance.
    """
    dataset, number = _which(app, which)

    def told(event: ReviewEvent) -> None:
        for gate in event.body.gates:
            _show_gate(gate)
        show.following(f"treadle data review show {dataset}#{number}")

    app.answer(app.client.check_data_review(dataset, number, names), told)


def _show_gate(gate: GateResult) -> None:
    show.say(f"{gate.name}: {gate.outcome}")
    for one in gate.findings:
        show.item(one.outcome, one.sentence)


@_TEXT
@_verb("close", "Close a review without a merge")
def close(app: App, which: str, text: str) -> None:
    """Close a review without a merge; it can be opened again."""
    from treadle.data import ReviewChange

    _change(app, which, ReviewChange(state="closed", text=text))


@_TEXT
@_verb("reopen", "Open a closed review again")
def reopen(app: App, which: str, text: str) -> None:
    """Open a closed review again."""
    from treadle.data import ReviewChange

    _change(app, which, ReviewChange(state="open", text=text))


def _change(app: App, which: str, asked: ReviewChange) -> None:
    dataset, number = _which(app, which)

    def told(changed: Review) -> None:
        show.say(f"{changed.ref} is {changed.state}")
        verb = "show" if changed.state == "open" else "reopen"
        show.following(f"treadle data review {verb} {changed.ref}")

    app.answer(app.client.change_data_review(dataset, number, asked), told)


@click.option("-m", "--message", metavar="TEXT", default="", help="Why; else made of the title.")
@_COMMIT
@_verb("merge", "Merge a review")
def merge(app: App, which: str, message: str, commit: str) -> None:
    """Merge a review that is approved and whose required checks pass: all of it or nothing."""
    from treadle.data import MergeReview

    dataset, number = _which(app, which)

    def told(done: Merged) -> None:
        counts = merge_counts(done.plan)
        show.say(f"{done.version.ref} on {done.version.branch}: {dataset}#{number} merged, {counts}")
        show.following(f"treadle data diff {done.plan.target or done.version.ref} {done.version.ref}")

    app.answer(
        app.client.merge_data_review(dataset, number, MergeReview(message=message, commit=commit)), told
    )
