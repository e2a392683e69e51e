"""What the client asks of the registry: to register, name, tag, approve and archive versions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from treadle.client.load_testing import LoadTestCalls
from treadle.deploy import LoadTestJob
from treadle.kernel.config import StrategyName
from treadle.registry.types import ModelVersion, Registration, Standing
from treadle.retrain.types import Approved, InProduction

if TYPE_CHECKING:
    from treadle.registry import Lineage


class ModelCalls(LoadTestCalls):
    """Calls of the routes of models."""

    def register_model(self, asked: Registration) -> ModelVersion:
        """Registers the model that a run logged, with all that is known of it."""
        from treadle.client.client import actor

        asked = msgspec.structs.replace(asked, actor=actor())
        found: ModelVersion = self._ask(ModelVersion, "POST", "/v1/models", asked)
        return found

    def lineage(self, ref: str) -> Lineage:
        """What a model version, a version of data or a run was made of, and what used it."""
        from treadle.registry import Lineage

        found: Lineage = self._ask(Lineage, "GET", "/v1/lineage", ref=ref)
        return found

    def set_alias(self, ref: str, alias: str) -> ModelVersion:
        """Lets an alias name a version; it then names no other."""
        found: ModelVersion = self._ask(ModelVersion, "POST", "/v1/model/alias", ref=ref, alias=alias)
        return found

    def delete_alias(self, model: str, alias: str) -> ModelVersion:
        """Takes an alias away from the version that it names."""
        found: ModelVersion = self._ask(ModelVersion, "DELETE", "/v1/model/alias", model=model, alias=alias)
        return found

    def tag_model(self, ref: str, key: str, value: str) -> ModelVersion:
        """Sets a tag of a version."""
        found: ModelVersion = self._ask(ModelVersion, "POST", "/v1/model/tag", ref=ref, key=key, value=value)
        return found

    def untag_model(self, ref: str, key: str) -> ModelVersion:
        """Takes a tag from a version, if it has it."""
        found: ModelVersion = self._ask(ModelVersion, "DELETE", "/v1/model/tag", ref=ref, key=key)
        return found

    def approve(
        self,
        ref: str,
        reason: str,
        strategy: StrategyName | None = None,
        follow: Callable[[LoadTestJob], None] | None = None,
    ) -> Approved:
        """Approves a version for its next stage; once enough have, it goes there.

        Who interrupts it while a load test is made for it stops that; nothing is approved then.

        Args:
            ref: The version.
            reason: Why.
            strategy: How it takes over.
            follow: Told how far the load test is that ``[deploy] loadtest`` asks for, if one is due.

        Raises:
            Refused: If the version doesn't hold the objective, or somebody stopped the load test.
        """
        self._held(ref, "approval", follow)
        more = {"strategy": strategy} if strategy else {}
        found: Approved = self._decide(Approved, "POST", "/v1/model/approval", ref, reason, **more)
        return found

    def withdraw_approval(self, ref: str, reason: str) -> Standing:
        """Takes back what one has approved."""
        found: Standing = self._decide(Standing, "DELETE", "/v1/model/approval", ref, reason)
        return found

    def standing(self, ref: str) -> Standing:
        """Where a version stands on its way to production, and who approved it."""
        found: Standing = self._ask(Standing, "GET", "/v1/model/approval", ref=ref)
        return found

    def in_production(self, model: str, at: datetime | None = None) -> list[InProduction]:
        """What was in production at a moment, who let it in, and on what evidence; now, if none is given."""
        when = at.isoformat() if at else None
        path = f"/v1/models/{quote(model, safe='')}/production"
        found: list[InProduction] = self._ask(list[InProduction], "GET", path, at=when)
        return found

    def refuse(self, ref: str, reason: str) -> ModelVersion:
        """Refuses a version that waits for an approval."""
        found: ModelVersion = self._decide(ModelVersion, "POST", "/v1/model/refusal", ref, reason)
        return found

    def archive(self, ref: str, reason: str) -> ModelVersion:
        """Puts a version away for good."""
        found: ModelVersion = self._decide(ModelVersion, "POST", "/v1/model/archival", ref, reason)
        return found

    def _decide(self, kind: Any, method: str, path: str, ref: str, reason: str, **more: str) -> Any:
        from treadle.client.client import actor

        return self._ask(kind, method, path, ref=ref, reason=reason, actor=actor(), **more)
