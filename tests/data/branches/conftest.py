import pytest

from meanwhile import on_postgres  # noqa: F401
from servers import metadata_url, postgres_server, postgres_url, s3, s3_server  # noqa: F401
from treadle.data.branches.service import Branches
from treadle.kernel.workspace import Workspace


@pytest.fixture
def branches(workspace: Workspace) -> Branches:
    """Branches of a workspace that has an empty dataset ``pets``."""
    made = Branches(workspace)
    made.create_dataset("pets", "anna")
    return made
