"""How a new revision takes over, what it must hold, and the environments that it goes through."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from treadle.kernel.config.base import Duration, Fraction, Positive, Table

StrategyName = Literal["at-once", "rolling", "blue-green", "canary", "shadow", "challenger"]
Step = Annotated[float, Meta(gt=0, le=1)]


class ObjectiveConfig(Table, frozen=True):
    """``[serve.objective]``: the service level that the model's callers are promised.

    Attributes:
        p99_ms: The time within which 99 of 100 requests are answered. A rollout holds a new revision
            to it as well, unless ``[deploy.guards] max_p99_ms`` says otherwise.
        availability: The percentage of requests that are not answered with an error of the server,
            such as 99.9.
        rate: The requests a second at which this holds; what a load test asks for.
    """

    p99_ms: Annotated[float, Meta(gt=0)] | None = None
    availability: Annotated[float, Meta(gt=0, lt=100)] | None = None
    rate: Annotated[float, Meta(gt=0)] | None = None


class GuardsConfig(Table, frozen=True):
    """``[deploy.guards]``: what takes a new revision back while it takes over.

    Every guard is looked at twice a second; how often doesn't make false alarms more likely.

    Attributes:
        max_error_rate: The share of its requests that may end with an error of the server.
        max_p99_ms: The time within which 99 of 100 of its requests must be answered; when left out,
            that of ``[serve.objective]``, if there is one.
        beside: Whether it may have neither more errors nor more slow answers than what it replaces.
        max_shift: How far its answers may be from those of what it replaces, as a population
            stability index; none when left out, for a better model may well answer otherwise.
        false_alarm: The chance that a revision that keeps within all of this is taken back all the same.
    """

    max_error_rate: Fraction = 0.01
    max_p99_ms: Annotated[float, Meta(gt=0)] | None = None
    beside: bool = True
    max_shift: Annotated[float, Meta(gt=0)] | None = None
    false_alarm: Annotated[float, Meta(gt=0, lt=0.5)] = 0.01


class DeployConfig(Table, frozen=True):
    """``[deploy]``: how a new revision takes over.

    Attributes:
        strategy: ``at-once``: every replica swaps as soon as it has it. ``rolling``: one replica
            after another. ``blue-green``: all at the same moment, once every one has it; the old
            one is kept loaded until ``bake`` has passed. ``canary``: for a growing share of the
            requests. ``shadow``: it is asked too, compared, and never answers. ``challenger``: it
            answers a share of the requests until somebody decides.
        steps: The shares of requests of a canary, one after another; the first is a challenger's.
        bake: How long each step lasts at least.
        min_requests: How many requests the new revision must have answered before a step ends.
        sticky: An input by which a caller stays with one revision; else each request is drawn alone.
            The header ``x-treadle-key`` does the same for any request.
        loadtest: Whether a version that has not served yet must hold ``[serve.objective]`` in a load
            test before it takes traffic.
        guards: What takes it back.
    """

    strategy: StrategyName = "at-once"
    steps: Annotated[tuple[Step, ...], Meta(min_length=1)] = (0.05, 0.25, 0.5)
    bake: Duration = "10m"
    min_requests: Positive = 200
    sticky: str = ""
    loadtest: bool = False
    guards: GuardsConfig = field(default_factory=GuardsConfig)


class EnvironmentConfig(Table, frozen=True):
    """``[environments.NAME]``: somewhere a version runs on its way to production.

    A version goes through them in the order of the file; the last one is production: its deployment is
    the one that ``[serve]``, ``[deploy]``, the monitors and the registry's ``production`` mean. The
    others log no predictions.

    Attributes:
        port: Where ``treadle up`` serves it; 0 takes a free one. When left out, whoever runs
            ``treadle serve --env NAME`` does. The last one has that of ``[serve]``.
        soak: How long a version must have served in the environment before, without a break.
        min_requests: How many requests it must have answered in that time.
        max_error_rate: The share of those that may have ended with an error of the server.
        stage: The stage of the registry that it must have reached, with all that this stage asks for.
        roles: Which teams' members may deploy there.
    """

    port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    soak: Duration | None = None
    min_requests: Annotated[int, Meta(ge=0)] = 0
    max_error_rate: Fraction = 0.01
    stage: str | None = None
    roles: list[str] = field(default_factory=list)
