"""What runs beside Treadle, rendered from what it knows: Prometheus rules, a Grafana dashboard."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.infra.service import Infra as Infra

__getattr__, __all__ = attach(__name__, {"Infra": "service"})
