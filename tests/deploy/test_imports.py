"""The inference server stays small: what it never needs it never loads."""

from __future__ import annotations

import subprocess
import sys


def test_a_replica_loads_no_database_no_engine_and_no_api():
    code = (
        "import sys\n"
        "import treadle.deploy.replica.main, treadle.client, treadle.registry.format\n"
        "heavy = {'sqlalchemy', 'duckdb', 'dbos', 'deltalake', 'obstore', 'scipy', 'pandas', 'starlette',\n"
        "         'treadle.api', 'treadle.deploy.service', 'treadle.kernel.workspace'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
