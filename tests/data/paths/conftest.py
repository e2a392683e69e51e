import pytest

from treadle.data import Branches, DataPaths
from treadle.kernel.workspace import Workspace


@pytest.fixture
def branches(workspace: Workspace) -> Branches:
    """Branches of a workspace that has an empty dataset ``pets``."""
    made = Branches(workspace)
    made.create_dataset("pets", "anna")
    return made


@pytest.fixture
def paths(workspace: Workspace, branches: Branches) -> DataPaths:
    """Versions by path."""
    return DataPaths(workspace, branches)
