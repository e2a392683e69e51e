"""What the client asks to delete, restore and collect."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from treadle.client.calls import Calls
from treadle.govern import Collect, Collected


class DeletingCalls(Calls):
    """Calls of the routes that delete, restore and collect."""

    def delete_run(self, run: str) -> None:
        """Deletes a run; it can be restored until it is collected."""
        self._ask(None, "DELETE", f"/v1/runs/{quote(run, safe='')}")

    def restore_run(self, run: str) -> None:
        """Restores a deleted run."""
        self._ask(None, "POST", f"/v1/runs/{quote(run, safe='')}/restoration")

    def delete_experiment(self, name: str) -> None:
        """Deletes an experiment with its runs; they can be restored until they are collected."""
        self._ask(None, "DELETE", f"/v1/experiments/{quote(name, safe='')}")

    def restore_experiment(self, name: str) -> None:
        """Restores a deleted experiment with its runs."""
        self._ask(None, "POST", f"/v1/experiments/{quote(name, safe='')}/restoration")

    def delete_logged_model(self, model: str) -> None:
        """Deletes a logged model; it can be restored until it is collected."""
        self._ask(None, "DELETE", f"/v1/logged-models/{quote(model, safe='')}")

    def restore_logged_model(self, model: str) -> None:
        """Restores a deleted logged model."""
        self._ask(None, "POST", f"/v1/logged-models/{quote(model, safe='')}/restoration")

    def collect(self, asked: Collect) -> Collected:
        """Says what of the deleted goes and what that frees, or has it taken away."""
        from treadle.client.client import actor

        asked = msgspec.structs.replace(asked, actor=actor())
        found: Collected = self._ask(Collected, "POST", "/v1/gc", asked)
        return found
