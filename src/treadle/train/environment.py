"""What code runs in: interpreter, platform and installed packages."""

from __future__ import annotations

import platform
from importlib.metadata import distributions

from treadle.train.types import Environment, Package


def describe() -> Environment:
    """The environment of this process, which is the one that its jobs run in."""
    found = {
        Package(distribution.name.lower().replace("_", "-"), distribution.version)
        for distribution in distributions()
        if distribution.name
    }
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=f"{platform.system()} {platform.machine()}",
        packages=tuple(sorted(found)),
    )
