"""Branches and tags while others commit, on Postgres."""

from __future__ import annotations

import pytest

from branching import commit
from meanwhile import meanwhile
from treadle.data import Branches
from treadle.data.branches import store
from treadle.data.branches.types import RefSettings
from treadle.data.remotes import registering
from treadle.kernel.errors import AlreadyExists, Deleted, InvalidInput, NotFound

pytestmark = pytest.mark.postgres


@pytest.fixture
def shared(on_postgres) -> Branches:
    """``pets`` with two versions on main."""
    made = Branches(on_postgres)
    commit(made, {"cat": "1"})
    commit(made, {"cat": "2"})
    return made


def test_a_branch_and_a_tag_of_one_name(shared, on_postgres, monkeypatch):
    other = meanwhile(
        monkeypatch,
        on_postgres.database,
        store,
        "insert_ref",
        lambda: shared.create_ref("pets", "tag", "best", "v1", "ben"),
    )
    try:
        shared.create_ref("pets", "branch", "best", "v2", "anna")
    except AlreadyExists:
        other.result(10)
    else:
        with pytest.raises(AlreadyExists, match="has a branch 'best'"):
            other.result(10)


def test_a_branch_is_protected_while_it_is_removed(shared, on_postgres, monkeypatch):
    shared.create_ref("pets", "branch", "exp", "v1", "anna")
    other = meanwhile(
        monkeypatch,
        on_postgres.database,
        store,
        "delete_ref",
        lambda: shared.protect("pets", "exp", RefSettings(protected=True), "ben"),
    )
    shared.delete_ref("pets", "branch", "exp")
    with pytest.raises(NotFound):
        other.result(10)


def test_a_branch_is_removed_while_it_is_protected(shared, on_postgres, monkeypatch):
    shared.create_ref("pets", "branch", "exp", "v1", "anna")
    other = meanwhile(
        monkeypatch,
        on_postgres.database,
        store,
        "set_settings",
        lambda: shared.delete_ref("pets", "branch", "exp"),
    )
    with pytest.raises(NotFound):
        shared.protect("pets", "exp", RefSettings(protected=True), "anna")
    other.result(10)


def test_a_branch_does_not_follow_to_a_version_that_is_deleted(shared, on_postgres, monkeypatch):
    new = commit(shared, {"dog": "1"})
    store_delete = registering.versions.mark_deleted

    def delete() -> None:
        with on_postgres.database.write() as connection:
            at = on_postgres.clock.now()
            assert store_delete(connection, "pets", [new.number], at, "ben", "") == 1

    meanwhile(monkeypatch, on_postgres.database, registering.store, "find_ref", delete)
    with pytest.raises(Deleted):
        registering.follow(on_postgres, new, "branch", "theirs", "anna")
    assert not shared.is_branch("pets", "theirs")


def test_no_branch_begins_that_has_the_name_of_a_tag(shared):
    shared.create_ref("pets", "tag", "best", "v1", "anna")
    with pytest.raises(InvalidInput, match="'pets' has a tag 'best'"):
        commit(shared, {"cat": "3"}, "best")
