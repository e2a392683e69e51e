from __future__ import annotations

import pytest

from branching import commit
from servers import metadata_url, postgres_server, postgres_url  # noqa: F401
from treadle.data import Branches, NewReview, RefSettings, Reviews
from treadle.evaluate import DataGates
from treadle.kernel.workspace import Workspace


@pytest.fixture
def branches(workspace: Workspace) -> Branches:
    """Branches of a workspace with a dataset ``pets``: ``exp`` began with ``main`` and changed something."""
    made = Branches(workspace)
    made.create_dataset("pets", "anna")
    commit(made, {"a": "1", "b": "1", "c/d": "1"})
    made.create_ref("pets", "branch", "exp", "main", "anna")
    commit(made, {"a": "2", "new": "1"}, "exp")
    return made


@pytest.fixture
def reviews(workspace: Workspace, branches: Branches) -> Reviews:
    """Its reviews; none is open, and ``main`` needs an approval and as many files as before."""
    settings = RefSettings(protected=True, approvals=1, checks=("volume",))
    branches.protect("pets", "main", settings, "anna")
    return Reviews(workspace, branches, DataGates(workspace))


@pytest.fixture
def opened(reviews: Reviews) -> Reviews:
    """A review ``pets#1`` of ``exp`` into ``main`` by anna."""
    reviews.open("pets", NewReview(source="exp", title="New pets", actor="anna"))
    return reviews
