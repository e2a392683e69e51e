"""Retrainings that are asked for: by hand, by a signed webhook, or only to hear what would be done."""

from __future__ import annotations

import hashlib
import hmac
import os

import msgspec

from treadle.data import Datasets
from treadle.govern import Usages
from treadle.kernel.config.retrain import TriggerConfig
from treadle.kernel.errors import Busy, Conflict, InvalidInput, NotFound, Refused
from treadle.kernel.names import unknown
from treadle.kernel.workspace import Workspace
from treadle.registry import Registry
from treadle.retrain import rules
from treadle.retrain.changed import changed_at
from treadle.retrain.loop import Loop
from treadle.retrain.service import Cycles
from treadle.retrain.trigger_types import (
    AskRetraining,
    PlannedCost,
    PlannedWindow,
    Retraining,
    RetrainPlan,
    Signal,
    WebhookBody,
)
from treadle.retrain.types import Cycle, NewCycle, Trigger

_GATES = ("check", "evaluate", "approve", "deploy")
_PREFIX = "sha256="
_LONGEST = 200


class Retrainings:
    """Retrainings of the project's model.

    Args:
        workspace: The project's workspace.
        loop: What starts them.
    """

    def __init__(self, workspace: Workspace, loop: Loop) -> None:
        self._ws = workspace
        self._loop = loop

    def plan(self, model: str) -> RetrainPlan:
        """What a retraining would do now, and which trigger would start it; changes nothing.

        Raises:
            NotFound: If the project trains no model of that name.
            ConfigError: If ``treadle.toml`` says nothing of training.
        """
        self._check(model)
        now = self._ws.clock.now()
        asked = self._asked(model, "a plan")
        plan = Cycles(self._ws).plan(asked)
        triggers = self._loop.triggers.signals(model)
        return RetrainPlan(
            model=model,
            as_of=now,
            triggers=tuple(triggers),
            starts=next((one.trigger for one in triggers if one.fires and one.hold is None), None),
            window=self._window(),
            cost=self._cost(model),
            gates=tuple(stage for stage in plan.stages if stage.name in _GATES),
            cycle=plan,
            rests=self._loop.triggers.resting(model),
        )

    def start(self, model: str, asked: AskRetraining) -> Cycle:
        """Starts a retraining by hand: nothing holds it back but a cycle that runs.

        Raises:
            NotFound: If the project trains no model of that name.
            Conflict: If a cycle runs already.
            Busy: If another process drives the workspace.
        """
        self._check(model)
        return self._loop.start(model, Trigger(kind="manual", actor=asked.actor, reason=asked.reason))

    def webhook(
        self, model: str, body: bytes, signature: str | None, delivery: str | None, event: str | None = None
    ) -> Retraining:
        """Starts a retraining that a signed webhook asks for, unless its trigger is held back.

        It is signed as GitHub signs: ``X-Hub-Signature-256`` is ``sha256=`` and the HMAC-SHA256 of the
        body under the secret, in hexadecimal. A delivery is known by ``X-GitHub-Delivery`` or by ``id``
        in the body; the same again is answered with the cycle that it started.

        Args:
            model: The model.
            body: The body as it came.
            signature: The signature.
            delivery: The delivery's identifier.
            event: What it is about, by ``X-GitHub-Event``; a ``ping``, which GitHub sends when a webhook is
                made, starts nothing.

        Raises:
            NotFound: If the project trains no model of that name, or no trigger on webhooks is declared.
            Refused: If the signature is missing or wrong, or this server has no secret.
            InvalidInput: If the body is no JSON object.
            Busy: If another process drives the workspace.
        """
        self._check(model)
        name, trigger = self._loop.triggers.declared("webhook")
        _check_signature(os.environ.get(trigger.secret, ""), trigger.secret, body, signature)
        if event == "ping":
            return Retraining(held_back="a ping starts nothing; it came through, and its signature fits")
        said = _decode(body)
        key = (said.id or delivery or "")[:_LONGEST]
        reason = said.reason[:_LONGEST] or "a webhook asked for it"
        asked = Trigger(kind="webhook", actor=f"trigger:{name}", reason=reason, name=name, key=key)
        answered = self._answered(model, trigger, asked)
        if answered is not None:
            return answered
        try:
            return Retraining(cycle=self._loop.start(model, asked))
        except Busy:
            raise
        except Conflict as error:  # another call came between; with the same delivery, perhaps
            return self._answered(model, trigger, asked) or Retraining(held_back=error.message)

    def _answered(self, model: str, trigger: TriggerConfig, asked: Trigger) -> Retraining | None:
        """What a webhook is answered with without starting anything; None if nothing is in the way."""
        past = Cycles(self._ws).list(model)
        known = [one for one in past if (one.trigger.name, one.trigger.key) == (asked.name, asked.key)]
        if asked.key and known:
            return Retraining(cycle=known[-1])
        hold = self._loop.triggers.hold(model, trigger)
        if hold is None:
            return None
        signal = Signal(
            trigger=asked.name or "",
            kind="webhook",
            fires=True,
            reason=asked.reason,
            key=asked.key,
            hold=hold,
        )
        self._loop.triggers.note(model, signal)
        return Retraining(held_back=hold.reason)

    def _check(self, model: str) -> None:
        _ = self._ws.config.training
        if model != self._ws.config.model:
            raise unknown("model", model, [self._ws.config.model])

    def _asked(self, model: str, reason: str) -> NewCycle:
        production = Registry(self._ws).production(model)
        trigger = Trigger(kind="manual", actor="plan", reason=reason)
        return NewCycle(trigger=trigger, params=dict(production.params) if production else {})

    def _window(self) -> PlannedWindow | None:
        train, _ = self._ws.config.training
        datasets = Datasets(self._ws)
        try:
            now = datasets.current(train.data)
        except NotFound:
            return None
        as_of = self._ws.clock.now()
        change = changed_at(self._ws, as_of)
        learn, hold = rules.windows(self._ws.config, now.ref, as_of, change)
        assert learn.until is not None  # noqa: S101 - windows() sets both
        assert hold.until is not None  # noqa: S101 - as above
        return PlannedWindow(
            policy=rules.policy(self._ws.config, change),
            version=now.ref,
            changed=now.changed,
            since=learn.since,
            until=learn.until,
            end=hold.until,
            rows=datasets.count(now, learn),
            held_out=datasets.count(now, hold),
        )

    def _cost(self, model: str) -> PlannedCost:
        past = [cycle for cycle in Cycles(self._ws).list(model) if cycle.goal == "deploy"]
        costs = rules.costs(past)
        spending = Usages(self._ws).spending(model, self._ws.clock.now())
        return PlannedCost(
            cpu_seconds=rules.typical_cost(past),
            least=min(costs, default=None),
            most=max(costs, default=None),
            cycles=len(costs),
            spent=spending.cpu_seconds,
            limit=spending.limit,
        )


def _check_signature(secret: str, variable: str, body: bytes, signature: str | None) -> None:
    if not secret:
        raise Refused(
            "this server knows no secret to check webhooks by",
            where=variable,
            fix=f"set the environment variable {variable} where `treadle up` runs",
        )
    expected = _PREFIX + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), (signature or "").encode()):
        raise Refused(
            "the signature is missing" if not signature else "the signature doesn't fit the body",
            where="X-Hub-Signature-256",
            fix="sign the body's bytes: sha256= and the hexadecimal HMAC-SHA256 under the shared secret",
        )


def _decode(body: bytes) -> WebhookBody:
    try:
        return msgspec.json.decode(body, type=WebhookBody) if body.strip() else WebhookBody()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"the body can't be used: {error}", fix='send {"reason": "..."}, or nothing'
        ) from None
