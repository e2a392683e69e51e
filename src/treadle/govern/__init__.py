"""Compute: what was used, and what the budget leaves."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.govern.service import Usages as Usages
    from treadle.govern.types import Spending as Spending
    from treadle.govern.types import Usage as Usage

__getattr__, __all__ = attach(__name__, {"Spending": "types", "Usage": "types", "Usages": "service"})
