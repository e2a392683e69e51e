"""What counts as approved and checked, and what is in the way of a merge. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from treadle.data.branches.types import GATES, RefSettings
from treadle.data.reviews.types import (
    Approval,
    Decision,
    EventKind,
    Gate,
    NewReview,
    Review,
    ReviewEvent,
    ReviewState,
    Standing,
)
from treadle.kernel.errors import Conflict, InvalidInput, Refused
from treadle.kernel.names import did_you_mean

PASSING = frozenset({"pass", "warn"})
_TITLE, _TEXT = 200, 100_000
_DECISIONS: frozenset[EventKind] = frozenset({"approved", "changes_requested", "withdrawn"})


def check_new(new: NewReview) -> None:
    """Refuses a review that can't be.

    Raises:
        InvalidInput: If it would merge a branch into itself, has no title or one that is no line, or a
            text of more than 100,000 characters.
    """
    if new.source == new.target:
        raise InvalidInput(f"branch {new.source!r} can't be merged into itself", fix="name another target")
    title = new.title.strip()
    if not title or len(title) > _TITLE or not title.isprintable():
        raise InvalidInput(
            "a review needs a title" if not title else "the title is no line of up to 200 characters",
            fix="say in a line what changes, and the rest in the text",
        )
    check_text(new.text)


def check_text(text: str, *, needed: str = "") -> str:
    """The text itself, if it can be said.

    Args:
        text: What.
        needed: What it is needed for; it may be empty when this is.

    Raises:
        InvalidInput: If it is needed and empty, or longer than 100,000 characters.
    """
    if needed and not text.strip():
        raise InvalidInput(f"{needed} needs a text", fix="say what should be different, or what is meant")
    if len(text) > _TEXT or "\0" in text:
        raise InvalidInput("the text has more than 100,000 characters, or a NUL", fix="shorten it")
    return text


def check_actor(actor: str) -> None:
    """Refuses to count what nobody did.

    Raises:
        InvalidInput: If it is no printable name of 1 to 200 characters.
    """
    if not actor.strip() or len(actor) > _TITLE or not actor.isprintable():
        raise InvalidInput(f"{actor[:40]!r} can't be somebody's name", fix="say who asks, in `actor`")


def check_gates(names: Iterable[str]) -> None:
    """Refuses checks that there aren't.

    Raises:
        InvalidInput: Naming the nearest that there is.
    """
    for name in names:
        if name not in GATES:
            raise InvalidInput(f"there is no data check {name[:80]!r}", fix=did_you_mean(name[:80], GATES))


def check_state(review: Review, state: ReviewState, what: str) -> None:
    """Refuses what can't be done with a review in its state.

    Args:
        review: The review.
        state: The state that it must have.
        what: What shall be done, such as ``merge``.

    Raises:
        Conflict: If it has another state.
    """
    if review.state == state:
        return
    version = f" as {review.dataset}@v{review.merged}" if review.merged else ""
    fix = {
        "merged": "open another review for what is new",
        "closed": f"open it again: treadle data review reopen {review.ref}",
        "open": "nothing has to be done",
    }[review.state]
    raise Conflict(
        f"review {review.ref} is {review.state}{version}: there is nothing to {what}",
        where=review.ref,
        fix=fix,
    )


def check_decision(review: Review, events: Sequence[ReviewEvent], decision: Decision) -> None:
    """Refuses a decision that isn't somebody's to take.

    Raises:
        Refused: If the author approves.
        InvalidInput: If changes are asked for and none is named.
        Conflict: If there is nothing to withdraw.
    """
    check_text(decision.text, needed="asking for changes" if decision.decision == "changes_requested" else "")
    if decision.decision == "approved" and decision.actor == review.author:
        raise Refused(
            f"{decision.actor} opened review {review.ref} and can't approve it",
            where=review.ref,
            fix="ask somebody else to look at it: treadle data review approve " + review.ref,
        )
    if decision.decision == "withdrawn" and decision.actor not in decisions(events):
        raise Conflict(
            f"{decision.actor} has neither approved review {review.ref} nor asked for changes",
            where=review.ref,
            fix="nothing has to be withdrawn",
        )


def decisions(events: Iterable[ReviewEvent]) -> dict[str, ReviewEvent]:
    """The last decision of everybody who took one and didn't withdraw it, in the order of the events."""
    found: dict[str, ReviewEvent] = {}
    for event in events:
        if event.kind in _DECISIONS:
            found.pop(event.actor, None)
            if event.kind != "withdrawn":
                found[event.actor] = event
    return found


def gates(
    events: Iterable[ReviewEvent], required: Sequence[str], source: str, target: str
) -> tuple[Gate, ...]:
    """Where the data checks stand that are required or have run.

    Args:
        events: The review's events.
        required: The checks that must pass.
        source: The commit at which the source stands.
        target: The commit at which the target stands; empty where it has none.
    """
    found: dict[str, Gate] = {}
    for event in events:
        fresh = (event.body.source, event.body.target) == (source, target)
        for one in event.body.gates:
            state = one.outcome if fresh else "stale"
            found[one.name] = Gate(name=one.name, required=one.name in required, state=state, result=one)
    for name in required:
        found.setdefault(name, Gate(name=name, required=True, state="missing"))
    return tuple(found[name] for name in GATES if name in found)


def standing(
    review: Review, events: Sequence[ReviewEvent], settings: RefSettings, source: str, target: str
) -> Standing:
    """Whether a review may be merged, as far as people and checks say.

    Args:
        review: The review.
        events: Its events.
        settings: How the target is protected.
        source: The commit at which the source stands.
        target: The commit at which the target stands; empty where it has none.
    """
    needed, required = (settings.approvals, settings.checks) if settings.protected else (0, ())
    last = decisions(events)
    approvals = tuple(
        Approval(actor=actor, at=event.at, commit=event.body.source, stale=event.body.source != source)
        for actor, event in last.items()
        if event.kind == "approved" and actor != review.author
    )
    objections = tuple(actor for actor, event in last.items() if event.kind == "changes_requested")
    found = gates(events, required, source, target)
    return Standing(
        approvals=approvals,
        needed=needed,
        objections=objections,
        gates=found,
        blockers=(
            *_lacking(approvals, needed),
            *(f"{actor} asked for changes" for actor in objections),
            *(_failing(gate) for gate in found if gate.required and gate.state not in PASSING),
        ),
    )


def _lacking(approvals: Sequence[Approval], needed: int) -> Iterable[str]:
    stale = sum(one.stale for one in approvals)
    count = len(approvals) - stale
    if count >= needed:
        return
    were = f"; {stale} {'was' if stale == 1 else 'were'} for an older commit of the source" if stale else ""
    are = "approval is" if needed == 1 else "approvals are"
    yield f"{needed} {are} needed and {count or 'none'} given{were}"


def _failing(gate: Gate) -> str:
    if gate.state == "missing":
        return f"check {gate.name} hasn't run"
    if gate.state == "stale":
        return f"check {gate.name} has to run again: source or target moved since"
    assert gate.result is not None  # noqa: S101 - it has an outcome
    why = next((one.sentence for one in gate.result.findings if one.outcome == gate.state), "")
    return f"check {gate.name} {'failed' if gate.state == 'fail' else 'is inconclusive'}: {why}".rstrip(": ")


def next_step(review: Review, found: Standing) -> str:
    """What to do about what is in the way of a merge, as a command."""
    command = "treadle data review"
    if found.objections:
        return f"change the data on {review.source}, or see what was asked for: {command} show {review.ref}"
    if any(gate.required and gate.state in {"missing", "stale"} for gate in found.gates):
        return f"{command} check {review.ref}"
    if any(gate.required and gate.state not in PASSING for gate in found.gates):
        return f"change the data on {review.source}; what was found: {command} show {review.ref}"
    return f"ask somebody to look at it: {command} approve {review.ref}"
