"""What a reference names: a number, a branch's head, a tag, a commit, an earlier version of a table."""

from __future__ import annotations

import sqlalchemy as sa

from treadle.data import store as versions
from treadle.data.branches import rules, store
from treadle.data.branches.adopting import adopt
from treadle.data.branches.commits import read_commit, version_of
from treadle.data.branches.types import DEFAULT_BRANCH, Ref, RefKind
from treadle.data.rules import check_live
from treadle.data.tables.rules import is_time_travel
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound
from treadle.kernel.names import did_you_mean
from treadle.kernel.workspace import Workspace

_WHOLE_ID = 64


def resolve(workspace: Workspace, ref: str, *, deleted: bool) -> DatasetVersion:
    """See :meth:`treadle.data.branches.service.Branches.resolve`."""
    dataset, _, at = ref.partition("@")
    config = workspace.config.data.get(dataset)
    if config and config.format == "delta" and is_time_travel(at):
        from treadle.data.tables.pinning import pin_table

        return pin_table(workspace, dataset, "treadle", at)
    named = rules.parse_ref(ref)
    found = _find(workspace, named)
    if not found.commit_id:  # an older Treadle made it
        adopt(workspace, named.dataset)
        found = _find(workspace, named)
    if not deleted:
        check_live(found)
    return found


def _find(workspace: Workspace, named: rules.Named) -> DatasetVersion:
    with workspace.database.read() as connection:
        newest = versions.latest(connection, named.dataset)
        if named.kind == "number":
            found = versions.by_number(connection, named.dataset, int(named.value))
        elif named.kind == "commit":
            found = _of_commit(connection, named)
        else:
            found = _stood_at(connection, named, newest)
        known = [one.name for one in _refs(connection, named.dataset)]
    if found is None and named.kind == "commit" and len(named.value) == _WHOLE_ID:
        found = _candidate(workspace, named.dataset, named.value)
    if found is not None:
        return found
    if newest is None and not known:
        raise NotFound(
            f"{named.dataset!r} has no version yet", fix=f"make one: treadle data add {named.dataset}"
        )
    hint = did_you_mean(named.value, known) if named.kind == "name" else None
    raise NotFound(
        f"{named.dataset!r} has no version {_said(named)}",
        fix=hint or (f"the latest is {newest.ref}" if newest else "nothing was committed yet"),
    )


def _refs(connection: sa.Connection, dataset: str) -> list[Ref]:
    return [
        *store.refs_of(connection, dataset, "branch"),
        *store.refs_of(connection, dataset, "tag"),
    ]


def _of_commit(connection: sa.Connection, named: rules.Named) -> DatasetVersion | None:
    several = versions.by_commit(connection, named.dataset, named.value)
    if len(several) > 1:
        raise InvalidInput(f"several commits begin with {named.value}", fix="give more of it")
    return several[0] if several else None


def _stood_at(
    connection: sa.Connection, named: rules.Named, newest: DatasetVersion | None
) -> DatasetVersion | None:
    """Where a branch or a tag stands; without a name, ``main``."""
    name = named.value or DEFAULT_BRANCH
    kinds: tuple[RefKind, ...] = ("branch", "tag") if named.value else ("branch",)
    found = [store.find_ref(connection, named.dataset, kind, name) for kind in kinds]
    number = next((ref.number for ref in found if ref), None)
    if not any(found) and not named.value:
        return newest  # versions of older Treadles are on no branch
    return (number and versions.by_number(connection, named.dataset, number)) or None


def _candidate(workspace: Workspace, dataset: str, commit_id: str) -> DatasetVersion | None:
    """A commit that is stored and isn't a version yet: what checks before a merge look at."""
    try:
        commit = read_commit(workspace, commit_id)
    except (NotFound, CorruptData):
        return None
    return version_of(commit, commit_id) if commit.dataset == dataset else None


def _said(named: rules.Named) -> str:
    if named.kind == "latest":
        return "on branch main"
    return f"v{named.value}" if named.kind == "number" else repr(named.value)
