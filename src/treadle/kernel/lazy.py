"""Public names that are imported when first used, so that a package costs nothing until then."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def attach(package: str, names: dict[str, str]) -> tuple[Callable[[str], Any], list[str]]:
    """``__getattr__`` and ``__all__`` for a package whose names load on first use (PEP 562).

    Args:
        package: The package's ``__name__``.
        names: Each public name and the submodule that defines it, such as
            ``{"Run": "types", "Experiments": "service"}``.

    Returns:
        The module's ``__getattr__`` and its ``__all__``.
    """

    def load(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{names[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return load, sorted(names)
