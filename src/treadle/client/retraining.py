"""What the client asks of retraining."""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from treadle.client.calls import Calls
from treadle.retrain import (
    AskRetraining,
    Challenger,
    Cycle,
    Retraining,
    RetrainPlan,
    StartChallenger,
    StopChallenger,
    WebhookBody,
)


class RetrainCalls(Calls):
    """Calls of the routes of retraining."""

    def retrain_plan(self, model: str) -> RetrainPlan:
        """What a retraining would do now, and which trigger would start it; changes nothing."""
        found: RetrainPlan = self._ask(RetrainPlan, "GET", f"{_of(model)}/plan")
        return found

    def retrain(self, model: str, reason: str) -> Cycle:
        """Starts a retraining: production's parameters on newer data."""
        from treadle.client.client import actor

        asked = AskRetraining(reason=reason, actor=actor())
        found: Cycle = self._ask(Cycle, "POST", _of(model), asked)
        return found

    def challenger(self, model: str) -> Challenger:
        """Which version is held beside production on live rows, and how it does."""
        found: Challenger = self._ask(Challenger, "GET", f"{_of(model)}/challenger")
        return found

    def start_challenger(self, model: str, version: int, reason: str) -> Challenger:
        """Holds a version beside production from now on."""
        from treadle.client.client import actor

        asked = StartChallenger(version=version, reason=reason, actor=actor())
        found: Challenger = self._ask(Challenger, "POST", f"{_of(model)}/challenger", asked)
        return found

    def stop_challenger(self, model: str, reason: str) -> Challenger:
        """Holds the version beside production no more."""
        from treadle.client.client import actor

        asked = StopChallenger(reason=reason, actor=actor())
        found: Challenger = self._ask(Challenger, "POST", f"{_of(model)}/challenger/stop", asked)
        return found

    def trigger(self, model: str, secret: str, *, reason: str = "", key: str = "") -> Retraining:
        """Asks for a retraining as a webhook does, signed with the shared secret.

        Args:
            model: The model.
            secret: The secret that the server has in the environment.
            reason: Why.
            key: What it is asked for: the same twice starts one cycle.
        """
        body = msgspec.json.encode(WebhookBody(reason=reason, id=key))
        signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        path = f"{_of(model)}/trigger"
        answer = self._send("POST", path, body, {"X-Hub-Signature-256": signature})
        return msgspec.json.decode(answer.read(), type=Retraining)


def _of(model: str) -> str:
    from treadle.client.client import part

    return f"/v1/retrain/{part(model)}"
