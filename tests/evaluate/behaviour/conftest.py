from __future__ import annotations

import pytest

from sums import APP, write


@pytest.fixture
def app(workspace):
    """Forty sums, of two topics, and functions that add."""
    (workspace.root / "app.py").write_text(APP)
    write(workspace, 40)
    return workspace
