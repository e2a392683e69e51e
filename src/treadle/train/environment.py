"""What code runs in: interpreter, platform and installed packages."""

from __future__ import annotations

import platform
from importlib.metadata import distributions

from treadle.kernel.origin import packages
from treadle.train.types import Environment, Package


def describe() -> Environment:
    """The environment of this process, which is the one that its jobs run in."""
    found = {
        Package(name.lower().replace("_", "-"), version)
        for name, version in map(packages.name_and_version, distributions())
        if name
    }
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=f"{platform.system()} {platform.machine()}",
        packages=tuple(sorted(found)),
    )
