"""Renders what runs beside Treadle."""

from __future__ import annotations

from treadle.infra import grafana, prometheus
from treadle.kernel.workspace import Workspace
from treadle.registry import Registry


class Infra:
    """Renders files for a workspace.

    Args:
        workspace: Whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def prometheus(self) -> str:
        """Recording and alerting rules for Prometheus: every model in production is to be served."""
        registry = Registry(self._workspace)
        served = [model for model in registry.models() if registry.production(model)]
        return prometheus.render(self._workspace.config.serve.objective, served)

    def grafana(self) -> str:
        """A Grafana dashboard that shows what the rules record."""
        config = self._workspace.config
        return grafana.render(config.project.name, config.serve.objective)
