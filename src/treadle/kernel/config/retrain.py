"""The table ``[retrain]``: what starts a cycle, what holds it back, and what it learns from."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from treadle.kernel.config.base import Duration, Positive, Size, Table

AlertKind = Literal["performance", "estimated", "input", "prediction"]
TriggerOn = Literal["performance", "estimated", "input", "prediction", "drift", "schedule", "data", "webhook"]


class TriggerConfig(Table, frozen=True):
    """``[retrain.triggers.NAME]``: something that starts a cycle by itself.

    Attributes:
        on: ``performance``, ``estimated``, ``input`` and ``prediction``: an alert of that monitor.
            ``drift``: how far the inputs have drifted, by how much the model leans on them.
            ``schedule``: a time has come. ``data``: so much has arrived since the version in production
            was trained. ``webhook``: a signed ``POST /v1/retrain/MODEL/trigger``.
        cooldown: How long after any cycle it starts none; that of ``[retrain]`` when left out. A
            schedule and a webhook have none unless they say so.
        cron: When, of a schedule: minute, hour, day of the month, month, day of the week.
        timezone: The time zone of ``cron``, such as ``Europe/Berlin``.
        excess: From where on drift counts: how far the inputs are over their limits, as a share of those
            limits, on average over the inputs by their importance.
        rows: So many rows whose labels became known since, of ``data``.
        bytes: So much larger than it was, of ``data``.
        secret: The environment variable with the webhook's secret.
    """

    on: TriggerOn
    cooldown: Duration | None = None
    cron: str = ""
    timezone: str = "UTC"
    excess: Annotated[float, Meta(gt=0)] = 0.5
    rows: Positive | None = None
    bytes: Size | None = None
    secret: str = "TREADLE_WEBHOOK_SECRET"  # noqa: S105 - where it is, not what


class WindowConfig(Table, frozen=True):
    """``[retrain.window]``: which of the past is learned from.

    Attributes:
        policy: ``sliding``: the last ``[train] window``. ``expanding``: everything; ``[train] window`` is
            left out. ``weighted``: as sliding or expanding, newer rows counting for more.
            ``since-change``: since the last change that the monitors' figures of the version in
            production show; as sliding where they show none.
        half_life: The age at which a row counts for half, of ``weighted``.
        least: How much is learned from at least, of ``since-change``; as much as is held out by default.
    """

    policy: Literal["sliding", "expanding", "weighted", "since-change"] = "sliding"
    half_life: Duration | None = None
    least: Duration | None = None


class ChallengerConfig(Table, frozen=True):
    """``[retrain.challenger]``: a version that isn't in production is held beside it on live rows.

    Attributes:
        watch: Whether one is.
        version: Its number. When left out, the newest that was refused or held since production's,
            until it is decided; then the next.
        false_alarm: The chance that it is ever said to be better, or worse, while it is neither.
        days: On how many days both are compared before anything is said.
        block: So many days are one observation. Days that lie further apart than this shouldn't go
            together; 14 where a day's gain correlates with that of the day before by more than 0.6.
    """

    watch: bool = False
    version: Positive | None = None
    false_alarm: Annotated[float, Meta(gt=0, le=0.5)] = 0.05
    days: Annotated[int, Meta(ge=14)] = 28
    block: Annotated[int, Meta(ge=1, le=28)] = 7


class RetrainConfig(Table, frozen=True):
    """``[retrain]``

    Attributes:
        on: Which alerts start a cycle: performance that fell, or that is estimated to have fallen before
            labels say so, inputs or predictions that drifted.
        cooldown: How long after a cycle no alert starts another.
        triggers: What else starts a cycle.
        refusals: After so many cycles in a row that ended for the same reason, triggers rest: for the
            cooldown, and twice as long after each further one.
        max_running: How many cycles may run at once, of all models that share the metadata store.
        window: Which of the past is learned from.
        challenger: A version that is held beside production until labels say which is better.
    """

    on: list[AlertKind] = field(default_factory=lambda: ["performance"])
    cooldown: Duration = "28d"
    triggers: dict[str, TriggerConfig] = field(default_factory=dict)
    refusals: Positive = 3
    max_running: Positive | None = None
    window: WindowConfig = field(default_factory=WindowConfig)
    challenger: ChallengerConfig = field(default_factory=ChallengerConfig)

    def declared(self) -> dict[str, TriggerConfig]:
        """Every trigger by its name; those of ``on`` have the name of their monitor."""
        return {**{kind: TriggerConfig(on=kind) for kind in self.on}, **self.triggers}
