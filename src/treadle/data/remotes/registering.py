"""Versions that came from a remote become known here, and branches follow them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from treadle.data import store as versions
from treadle.data.branches import store
from treadle.data.branches.graph import ancestors
from treadle.data.branches.merges import load_graph
from treadle.data.branches.service import Branches
from treadle.data.branches.types import Dataset, Ref, RefKind
from treadle.data.rules import check_live
from treadle.data.types import DatasetVersion
from treadle.kernel.events import record
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace


def register(workspace: Workspace, made: Sequence[DatasetVersion], actor: str) -> None:
    """Writes versions down, all or none; each keeps its number, or gets the next free one.

    Args:
        workspace: Where.
        made: Versions whose commits and pages are here, or that were deleted; the oldest first.
        actor: Who fetched them.

    Raises:
        IntegrityError: If somebody took a number meanwhile; nothing was written.
    """
    if not made:
        return
    at = workspace.clock.now()
    with workspace.database.write() as connection:
        first = made[0]
        store.hold_dataset(connection, Dataset(name=first.dataset, created_at=at, actor=actor))
        numbers = {commit: number for number, commit, _ in versions.lineage(connection, first.dataset)}
        taken = set(numbers.values())
        for version in made:
            if version.commit_id in numbers:
                continue
            # A version's number is greater than those of what it follows: histories are sorted by it.
            least = max((numbers.get(parent, 0) for parent in version.parents), default=0)
            number = version.number
            if number in taken or number <= least:
                number = max(taken, default=0) + 1
            here = replace(version, number=number)
            versions.insert(connection, here)
            numbers[version.commit_id] = number
            taken.add(number)
            if here.deleted_at is None:
                record(connection, _event(here, version, actor, at))


def restore(workspace: Workspace, version: DatasetVersion, remote: str, actor: str) -> None:
    """Restores a version that was deleted here, whose pages have come from a remote."""
    at = workspace.clock.now()
    with workspace.database.write() as connection:
        if versions.mark_back(connection, version.dataset, [version.number]):
            event = Event(
                id=workspace.ids.new("event"),
                at=at,
                recorded_at=datetime.now(UTC),
                subject=f"data:{version.dataset}",
                kind="restored",
                actor=actor,
                message=f"{version.ref} was restored from remote {remote!r}",
                facts={"versions": f"v{version.number}", "commit": version.commit_id},
            )
            record(connection, event)


def _event(here: DatasetVersion, there: DatasetVersion, actor: str, at: datetime) -> Event:
    called = f" (its number there is v{there.number})" if there.number != here.number else ""
    return Event(
        id=f"data:{here.ref}",
        at=at,
        recorded_at=datetime.now(UTC),
        subject=f"data:{here.dataset}",
        kind="fetched",
        actor=actor,
        message=f"{here.ref} was fetched{called}: {here.message or 'made by ' + here.actor}",
        facts={"digest": here.digest, "commit": here.commit_id},
    )


def follow(
    workspace: Workspace, version: DatasetVersion, kind: RefKind, name: str, actor: str
) -> tuple[bool, str]:
    """Lets a branch that is behind stand at a version, or makes a branch or tag that isn't there.

    Returns:
        Whether it stands there now and didn't before; and what somebody should know.

    Raises:
        Deleted: If the version was deleted meanwhile.
    """
    ref = Ref(
        dataset=version.dataset,
        kind=kind,
        name=name,
        number=version.number,
        changed_at=workspace.clock.now(),
        actor=actor,
    )
    while True:
        graph = load_graph(workspace, version.dataset)
        head = Branches(workspace).head(version.dataset, name) if kind == "branch" else None
        with workspace.database.write() as connection:
            check_live(*versions.hold(connection, version.dataset, [version.number]))
            found = store.find_ref(connection, version.dataset, kind, name)
            if found is None:
                taken = store.taken(connection, ref)
                if taken == kind:
                    continue  # it was made just now
                if taken is not None:
                    return False, f"{name!r} is something else here: no {kind} was made of it"
                return store.insert_ref(connection, ref), ""
            if kind == "branch" and found.number != (head.number if head else None):
                continue  # it moved just now
            why = _stays(found, head, version, ancestors(graph, [version.commit_id]))
            if why is not None:
                ahead = head is not None and version.commit_id in ancestors(graph, [head.commit_id])
                return False, "" if ahead else why
            if store.move_ref(connection, ref, found.number, ref.changed_at, actor):
                return True, ""


def _stays(ref: Ref, head: DatasetVersion | None, version: DatasetVersion, before: set[str]) -> str | None:
    """Why a branch or a tag stays where it is; None if it moves."""
    if ref.number == version.number:
        return ""
    if ref.kind == "tag":
        return f"tag {ref.name!r} stands at v{ref.number} here; tags don't move"
    if head is not None and head.commit_id not in before:
        return (
            f"branch {ref.name!r} stands at {head.ref} here and went another way:"
            f" treadle data merge {version.ref} --into {ref.name}"
        )
    if ref.settings.protected:
        return f"branch {ref.name!r} is protected here: it moves by reviews"
    return None
