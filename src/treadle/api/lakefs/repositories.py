"""Repositories: a dataset each; and which of its branches are protected."""

from __future__ import annotations

import fnmatch
from datetime import UTC, datetime

import msgspec

from treadle.api.lakefs.errors import PreconditionFailed, Unoffered
from treadle.api.lakefs.route import DONE, Ask, LakefsRoute, Reply, page
from treadle.api.lakefs.wire import RepositoryIn, RepositoryOut, RuleOut
from treadle.data import Dataset
from treadle.kernel.errors import InvalidInput
from treadle.kernel.ids import digest_bytes
from treadle.kernel.names import unknown

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def _all(ask: Ask) -> list[Dataset]:
    """Every dataset, also those that only older Treadles made versions of."""
    found = {one.name: one for one in ask.rooms.branches.datasets()}
    for version in ask.rooms.datasets.list():
        made = Dataset(name=version.dataset, created_at=_LONG_AGO, actor=version.actor)
        found.setdefault(version.dataset, made)
    return [found[name] for name in sorted(found)]


def _show(one: Dataset) -> RepositoryOut:
    return RepositoryOut(one.name, int(one.created_at.timestamp()), f"local://treadle/{one.name}")


def _list(ask: Ask) -> Reply:
    prefix, after, search = ask.get("prefix"), ask.get("after"), ask.get("search")
    found = (
        one for one in _all(ask) if one.name.startswith(prefix) and one.name > after and search in one.name
    )
    return page(found, ask, lambda one: one.name, _show)


def _get(ask: Ask) -> Reply:
    return Reply(_show(_find(ask)))


def _find(ask: Ask) -> Dataset:
    every = _all(ask)
    found = next((one for one in every if one.name == ask.repository), None)
    if found is None:
        raise unknown("repository", ask.repository, [one.name for one in every])
    return found


def _create(ask: Ask) -> Reply:
    """A dataset whose branch ``main`` has an empty version, as lakeFS begins."""
    new = ask.read(RepositoryIn)
    if new.default_branch != "main":
        raise InvalidInput("the default branch of a dataset is always main", where="default_branch")
    for name, asked in (
        ("bare", ask.flag("bare")), ("sample_data", new.sample_data), ("read_only", new.read_only)
    ):  # fmt: skip
        if asked:
            raise Unoffered(f"repositories that are {name} are not offered")
    made = ask.rooms.branches.create_dataset(new.name, ask.actor)
    ask.rooms.staging.commit(new.name, "main", message="Repository created", actor=ask.actor, empty=True)
    return Reply(_show(made), 201)


def _metadata(ask: Ask) -> Reply:
    _find(ask)
    return Reply({})


def _rules(ask: Ask) -> Reply:
    rules = _protected(ask)
    return Reply([RuleOut(name) for name in rules], headers=(("etag", _tag(rules)),))


def _protected(ask: Ask) -> list[str]:
    refs = ask.rooms.branches.refs(ask.repository, "branch")
    return [one.name for one in refs if one.settings.protected]


def _tag(rules: list[str]) -> str:
    return digest_bytes(msgspec.json.encode(rules))[:32]


def _set_rules(ask: Ask) -> Reply:
    """Protects the branches that are there and that the patterns fit, and opens all others."""
    patterns = [one.pattern for one in ask.read(list[RuleOut])]
    wanted = ask.headers.get("if-match", "").strip('"')
    if wanted and wanted != _tag(_protected(ask)):
        raise PreconditionFailed("the rules were changed meanwhile", fix="read them again")
    branches = ask.rooms.branches
    for ref in branches.refs(ask.repository, "branch"):
        protected = any(fnmatch.fnmatchcase(ref.name, pattern) for pattern in patterns)
        if protected != ref.settings.protected:
            settings = msgspec.structs.replace(ref.settings, protected=protected)
            branches.protect(ask.repository, ref.name, settings, ask.actor)
    return DONE


def _allowed(ask: Ask) -> Reply:
    _find(ask)
    return DONE


_ONE = "/repositories/{repository}"
ROUTES = (
    LakefsRoute("list_repositories", "GET", "/repositories", _list),
    LakefsRoute("create_repository", "POST", "/repositories", _create),
    LakefsRoute("get_repository", "GET", _ONE, _get),
    LakefsRoute("get_repository_metadata", "GET", f"{_ONE}/metadata", _metadata),
    LakefsRoute("get_branch_protection_rules", "GET", f"{_ONE}/settings/branch_protection", _rules),
    LakefsRoute("set_branch_protection_rules", "PUT", f"{_ONE}/settings/branch_protection", _set_rules),
    LakefsRoute(
        "create_branch_protection_rule_preflight", "GET", f"{_ONE}/branch_protection/set_allowed", _allowed
    ),
)
