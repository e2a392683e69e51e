"""Compute, and room: what was used, what the budget leaves, and what can be freed."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.govern.collecting import Collector as Collector
    from treadle.govern.collecting_types import Collect as Collect
    from treadle.govern.collecting_types import Collected as Collected
    from treadle.govern.collecting_types import Gone as Gone
    from treadle.govern.service import Usages as Usages
    from treadle.govern.types import Spending as Spending
    from treadle.govern.types import Usage as Usage

__getattr__, __all__ = attach(
    __name__,
    {
        "Collect": "collecting_types",
        "Collected": "collecting_types",
        "Collector": "collecting",
        "Gone": "collecting_types",
        "Spending": "types",
        "Usage": "types",
        "Usages": "service",
    },
)
