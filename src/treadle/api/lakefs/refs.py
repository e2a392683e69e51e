"""What is told of references: commits, logs, differences, merges, tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from treadle.api.lakefs.branches import check_clean
from treadle.api.lakefs.errors import NothingToDo, Unoffered
from treadle.api.lakefs.places import check_open, version_at
from treadle.api.lakefs.route import DONE, Ask, LakefsRoute, Reply, page
from treadle.api.lakefs.telling import tell_commit, tell_commits, tell_differences
from treadle.api.lakefs.wire import BaseOut, Listing, MergeIn, MergeOut, Pagination, RefOut, TagIn
from treadle.data import DatasetVersion, Merge, Ref
from treadle.kernel.errors import AlreadyExists, Deleted, InvalidInput, NotFound

_PIECE = 200
_SIDES = {"": "", "source-wins": "theirs", "dest-wins": "ours"}


def _commit(ask: Ask) -> Reply:
    return Reply(tell_commit(ask, version_at(ask, ask.path["commit"])))


# ── logs ─────────────────────────────────────────────────────────────────


def _log(ask: Ask) -> Reply:
    amount = ask.amount()
    begin = version_at(ask, ask.path["ref"])
    wanted = _changed(ask)
    stop = version_at(ask, ask.get("stop_at")).commit_id if ask.get("stop_at") else ""
    since = _since(ask)
    rows: list[DatasetVersion] = []
    more = False
    for version in _history(ask, begin):
        if since and version.created_at < since:
            break
        if wanted is None or wanted(version):
            if len(rows) == amount:
                more = not ask.flag("limit")
                break
            rows.append(version)
        if version.commit_id == stop:
            break
    told = Pagination(more, rows[-1].commit_id if more else "", len(rows), 1000)
    return Reply(Listing(told, list(tell_commits(ask, rows))))


def _since(ask: Ask) -> datetime | None:
    asked = ask.get("since")
    try:
        found = datetime.fromisoformat(asked) if asked else None
    except ValueError:
        raise InvalidInput(f"{asked[:40]!r} is no date and time", where="since") from None
    if found and found.tzinfo is None:
        raise InvalidInput(f"{asked[:40]!r} has no time zone", where="since")
    return found


def _history(ask: Ask, begin: DatasetVersion) -> Iterator[DatasetVersion]:
    """A version and all that it follows, after the commit that is named."""
    branches, dataset = ask.rooms.branches, ask.repository

    def find(name: str) -> DatasetVersion:
        return branches.resolve(f"{dataset}@{name}", deleted=True)

    after = find(ask.get("after")) if ask.get("after") else None
    if ask.flag("first_parent"):
        version: DatasetVersion | None = begin
        if after:
            version = find(after.parents[0]) if after.parents else None
        while version is not None:
            yield version
            version = find(version.parents[0]) if version.parents else None
        return
    before = after.number if after else None
    while True:
        found = branches.log(f"{dataset}@{begin.commit_id}", _PIECE, before)
        yield from found
        if len(found) < _PIECE:
            return
        before = found[-1].number


def _changed(ask: Ask) -> Callable[[DatasetVersion], bool] | None:
    """Says whether a version changed one of the paths that are asked about, if any are."""
    objects = frozenset(ask.query.get("objects", ()))
    prefixes = tuple(ask.query.get("prefixes", ()))
    if not objects and not prefixes:
        return None
    branches, dataset = ask.rooms.branches, ask.repository

    def changed(version: DatasetVersion) -> bool:
        try:
            return changes(version)
        except Deleted:  # nobody can tell any more
            return False

    def changes(version: DatasetVersion) -> bool:
        if version.parents:
            ref = f"{dataset}@{version.commit_id}"
            paths = (one.path for one in branches.diff(f"{dataset}@{version.parents[0]}", ref))
        else:
            rows = ask.rooms.staging.listing(version, "", dataset, "", limit=version.count or 1)
            paths = (one.path for one in rows)
        return any(path in objects or path.startswith(prefixes or ("\0",)) for path in paths)

    return changed


# ── differences and merges ───────────────────────────────────────────────


def _diff(ask: Ask) -> Reply:
    """From the right's last common version with the left on, unless two dots are asked for."""
    branches, dataset = ask.rooms.branches, ask.repository
    left, right = (f"{dataset}@{version_at(ask, ask.path[side]).commit_id}" for side in ("left", "right"))
    kind = ask.get("type", "three_dot")
    if kind not in {"two_dot", "three_dot"}:
        raise InvalidInput(f"type={kind[:20]!r} is neither two_dot nor three_dot")
    base = branches.base(left, right) if kind == "three_dot" else None
    if base is None:
        found = tell_differences(branches.diff(left, right), ask)
    else:
        begin = f"{dataset}@{base.commit_id}"
        others = {one.path: one for one in branches.diff(begin, left)}
        found = tell_differences(branches.diff(begin, right), ask, others)
    return page(found, ask, lambda one: one.path, lambda one: one)


def _base(ask: Ask) -> Reply:
    source, target = version_at(ask, ask.path["source"]), version_at(ask, ask.path["branch"])
    at = f"{ask.repository}@"
    found = ask.rooms.branches.base(at + source.commit_id, at + target.commit_id)
    if found is None:
        raise NotFound("the two have no commit in common")
    return Reply(BaseOut(source.commit_id, target.commit_id, found.commit_id))


def _merge(ask: Ask) -> Reply:
    asked, branch = ask.read(MergeIn), ask.path["branch"]
    source = version_at(ask, ask.path["source"])
    ask.rooms.branches.ref(ask.repository, "branch", branch)
    check_open(ask, branch)
    check_clean(ask, branch)
    if asked.strategy not in _SIDES:
        raise InvalidInput(
            f"{asked.strategy[:40]!r} is no strategy",
            fix="source-wins, dest-wins, or none to be told conflicts",
        )
    if asked.squash_merge:
        raise Unoffered("merges that forget where they come from (squash_merge) are not offered")
    merged = ask.rooms.branches.merge(
        ask.repository,
        Merge(
            source=source.commit_id,
            target=branch,
            message=asked.message or f"Merge '{ask.path['source']}' into '{branch}'",
            strategy=_SIDES[asked.strategy],  # type: ignore[arg-type]  # one of the three
            actor=ask.actor,
        ),
    )
    if not merged.changed and not (asked.allow_empty or asked.force):
        raise NothingToDo(f"merge: no changes: {branch!r} has all of {ask.path['source']!r}")
    if asked.metadata and merged.changed:
        ask.rooms.staging.note(ask.repository, merged.version.commit_id, asked.metadata)
    return Reply(MergeOut(merged.version.commit_id))


# ── tags ─────────────────────────────────────────────────────────────────


def _tell_tag(ask: Ask, tag: Ref) -> RefOut:
    return RefOut(tag.name, ask.rooms.branches.resolve(f"{ask.repository}@v{tag.number}").commit_id)


def _tags(ask: Ask) -> Reply:
    prefix, after = ask.get("prefix"), ask.get("after")
    tags = ask.rooms.branches.refs(ask.repository, "tag")
    found = (one for one in tags if one.name.startswith(prefix) and one.name > after)
    return page(found, ask, lambda one: one.name, lambda one: _tell_tag(ask, one))


def _tag(ask: Ask) -> Reply:
    ask.rooms.branches.refs(ask.repository, "tag")
    return Reply(_tell_tag(ask, ask.rooms.branches.ref(ask.repository, "tag", ask.path["tag"])))


def _create_tag(ask: Ask) -> Reply:
    new = ask.read(TagIn)
    version, branches = version_at(ask, new.ref), ask.rooms.branches
    try:
        tag = branches.create_ref(ask.repository, "tag", new.id, version.commit_id, ask.actor)
    except AlreadyExists:
        if not new.force:
            raise
        branches.delete_ref(ask.repository, "tag", new.id)
        tag = branches.create_ref(ask.repository, "tag", new.id, version.commit_id, ask.actor)
    return Reply(_tell_tag(ask, tag), 201)


def _delete_tag(ask: Ask) -> Reply:
    ask.rooms.branches.refs(ask.repository, "tag")
    ask.rooms.branches.delete_ref(ask.repository, "tag", ask.path["tag"])
    return DONE


_REPO = "/repositories/{repository}"
ROUTES = (
    LakefsRoute("get_commit", "GET", f"{_REPO}/commits/{{commit}}", _commit),
    LakefsRoute("log_commits", "GET", f"{_REPO}/refs/{{ref}}/commits", _log),
    LakefsRoute("diff_refs", "GET", f"{_REPO}/refs/{{left}}/diff/{{right}}", _diff),
    LakefsRoute("find_merge_base", "GET", f"{_REPO}/refs/{{source}}/merge/{{branch}}", _base),
    LakefsRoute("merge_into_branch", "POST", f"{_REPO}/refs/{{source}}/merge/{{branch}}", _merge),
    LakefsRoute("list_tags", "GET", f"{_REPO}/tags", _tags),
    LakefsRoute("create_tag", "POST", f"{_REPO}/tags", _create_tag),
    LakefsRoute("get_tag", "GET", f"{_REPO}/tags/{{tag}}", _tag),
    LakefsRoute("delete_tag", "DELETE", f"{_REPO}/tags/{{tag}}", _delete_tag),
)
