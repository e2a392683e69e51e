"""Branches: made, written down in commits, reset, reverted."""

from __future__ import annotations

from datetime import UTC, datetime

from treadle.api.lakefs.errors import NothingToDo, Unoffered
from treadle.api.lakefs.places import version_at, writable
from treadle.api.lakefs.route import DONE, Ask, LakefsRoute, Reply, page
from treadle.api.lakefs.telling import tell_commit, tell_differences
from treadle.api.lakefs.wire import BranchIn, CherryPickIn, CommitIn, RefOut, ResetIn, RevertIn
from treadle.data import Ref, Revert
from treadle.kernel.errors import Conflict, InvalidInput


def _tell(ask: Ask, ref: Ref) -> RefOut:
    head = ask.rooms.branches.head(ask.repository, ref.name)
    return RefOut(ref.name, head.commit_id if head else "")


def _list(ask: Ask) -> Reply:
    prefix, after = ask.get("prefix"), ask.get("after")
    refs = ask.rooms.branches.refs(ask.repository, "branch")
    found = (one for one in refs if one.name.startswith(prefix) and one.name > after)
    return page(found, ask, lambda one: one.name, lambda one: _tell(ask, one))


def _get(ask: Ask) -> Reply:
    ask.rooms.branches.refs(ask.repository, "branch")
    return Reply(_tell(ask, ask.rooms.branches.ref(ask.repository, "branch", ask.path["branch"])))


def _create(ask: Ask) -> Reply:
    """Answers with the commit's identifier alone, as a text."""
    new = ask.read(BranchIn)
    source = version_at(ask, new.source)
    ask.rooms.branches.create_ref(ask.repository, "branch", new.name, source.commit_id, ask.actor)
    return Reply(source.commit_id, 201)


def _delete(ask: Ask) -> Reply:
    branches = ask.rooms.branches
    branches.refs(ask.repository, "branch")
    branches.delete_ref(ask.repository, "branch", ask.path["branch"])
    return DONE


def _commit(ask: Ask) -> Reply:
    asked, branch = ask.read(CommitIn), writable(ask)
    if ask.get("source_metarange"):
        raise Unoffered("commits of a metarange are not offered: upload objects and commit them")
    try:
        at = datetime.fromtimestamp(asked.date, UTC) if asked.date is not None else None
    except (OverflowError, ValueError, OSError):
        raise InvalidInput(f"{asked.date} is no date in seconds since 1970", where="date") from None
    version = ask.rooms.staging.commit(
        ask.repository,
        branch,
        message=asked.message,
        actor=ask.actor,
        values=asked.metadata,
        empty=asked.allow_empty,
        at=at,
    )
    if version is None:
        raise NothingToDo("commit: no changes", where=f"{ask.repository}@{branch}")
    return Reply(tell_commit(ask, version), 201)


def _uncommitted(ask: Ask) -> Reply:
    ask.rooms.branches.ref(ask.repository, "branch", ask.path["branch"])
    found = ask.rooms.staging.changes(ask.repository, ask.path["branch"], ask.get("prefix"))
    return page(tell_differences(found, ask), ask, lambda one: one.path, lambda one: one)


def _reset(ask: Ask) -> Reply:
    asked = ask.read(ResetIn)
    if asked.type != "reset" and not asked.path:
        raise InvalidInput("the path that shall be reset is missing", where="path")
    which = {"object": {"path": asked.path}, "common_prefix": {"prefix": asked.path}, "reset": {}}
    ask.rooms.branches.refs(ask.repository, "branch")
    ask.rooms.staging.reset(ask.repository, ask.path["branch"], **which[asked.type])
    return DONE


def check_clean(ask: Ask, branch: str) -> None:
    """Refuses to go on while something is staged on a branch, in lakeFS's words.

    Raises:
        NothingToDo: If something is.
    """
    try:
        ask.rooms.staging.check_clean(ask.repository, branch)
    except Conflict as error:
        raise NothingToDo(error.message, where=error.where, fix=error.fix) from None


def _revert(ask: Ask) -> Reply:
    asked, branch = ask.read(RevertIn), writable(ask)
    check_clean(ask, branch)
    version = version_at(ask, asked.ref)
    if len(version.parents) > 1 and not asked.parent_number:
        raise InvalidInput("a merge is reverted relative to one of its parents: say which (parent_number)")
    if asked.parent_number > max(1, len(version.parents)):
        raise InvalidInput(f"the commit has no parent {asked.parent_number}", where="parent_number")
    if asked.parent_number > 1:
        raise Unoffered("merges are reverted relative to their first parent only (parent_number 1)")
    more = asked.commit_overrides
    made = ask.rooms.branches.revert(
        ask.repository,
        Revert(
            version=version.commit_id,
            branch=branch,
            message=(more.message if more else "") or f"Revert {version.commit_id[:16]}",
            actor=ask.actor,
        ),
    )
    if more and more.metadata:
        ask.rooms.staging.note(ask.repository, made.commit_id, more.metadata)
    return DONE


def _cherry_pick(ask: Ask) -> Reply:
    asked, branch = ask.read(CherryPickIn), writable(ask)
    check_clean(ask, branch)
    version = version_at(ask, asked.ref)
    made = ask.rooms.staging.pick(
        ask.repository,
        branch,
        version,
        asked.parent_number or 1,
        ask.actor,
        message=asked.commit_overrides.message if asked.commit_overrides else "",
    )
    source = {".cherry-pick.sourceCommit": version.commit_id}
    more = (asked.commit_overrides.metadata if asked.commit_overrides else None) or {}
    ask.rooms.staging.note(ask.repository, made.commit_id, {**source, **more})
    return Reply(tell_commit(ask, made), 201)


_ALL = "/repositories/{repository}/branches"
_ONE = f"{_ALL}/{{branch}}"
ROUTES = (
    LakefsRoute("list_branches", "GET", _ALL, _list),
    LakefsRoute("create_branch", "POST", _ALL, _create),
    LakefsRoute("get_branch", "GET", _ONE, _get),
    LakefsRoute("delete_branch", "DELETE", _ONE, _delete),
    LakefsRoute("reset_branch", "PUT", _ONE, _reset),
    LakefsRoute("commit", "POST", f"{_ONE}/commits", _commit),
    LakefsRoute("diff_branch", "GET", f"{_ONE}/diff", _uncommitted),
    LakefsRoute("revert_branch", "POST", f"{_ONE}/revert", _revert),
    LakefsRoute("cherry_pick", "POST", f"{_ONE}/cherry-pick", _cherry_pick),
)
