from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "sqlalchemy",
    "numpy",
    "pandas",
    "click",
    "rich",
    "urllib3",
    "asyncio",
    "duckdb",
    "blake3",
    "obstore",
)


def loaded(text: str, cwd: Path) -> set[str]:
    shown = f"{text}\nimport sys\nprint(*sys.modules)"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("TREADLE", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", shown], cwd=cwd, env=env, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_import_treadle_costs_nothing(tmp_path):
    bare = loaded("", tmp_path)
    modules = loaded("import treadle", tmp_path) - bare
    assert not modules & set(HEAVY)
    assert "msgspec" not in modules
    assert {name for name in modules if name.startswith("treadle")} == {
        "treadle",
        "treadle.kernel",
        "treadle.kernel.lazy",
    }
    assert len(modules) < 40


def test_starting_a_run_stays_thin(inside):
    text = (
        "import treadle, os\nrun = treadle.start_run()\nrun.log(a=1)\nrun.log_params(b=2)\nrun._owned = False"
    )
    modules = loaded(text, inside)
    assert not modules & set(HEAVY)
    assert len(modules) < 330


def test_the_public_names():
    import treadle

    assert sorted(treadle.__all__) == [
        *("Audio", "Html", "Image", "Plot", "Table"),
        *("__version__", "attach", "check", "data", "model", "record_provenance", "start_run", "sync"),
    ]
    for name in treadle.__all__:
        assert getattr(treadle, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'start_runs'"):
        _ = treadle.start_runs


def test_the_version_is_the_package_s():
    import tomllib

    import treadle

    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert treadle.__version__ == tomllib.loads(text)["project"]["version"]


@pytest.mark.parametrize(
    "order",
    [
        "import treadle.data\nimport treadle",
        "import treadle\ntreadle.data\nimport treadle.data",
        "import treadle\nimport treadle.data.types",
        "from treadle import data\nimport treadle",
    ],
)
def test_data_is_a_room_and_a_function(order, tmp_path):
    text = (
        f"{order}\nfrom treadle.data import DatasetVersion\nimport treadle.data as room\n"
        "assert room.DatasetVersion is DatasetVersion\nassert callable(treadle.data)\n"
        "import os; os.environ['TREADLE_JOB'] = '/nowhere'\n"
        "try: treadle.data('x')\nexcept ValueError as error: print('job.json' in str(error))"
    )
    assert "True" in loaded(text, tmp_path)
