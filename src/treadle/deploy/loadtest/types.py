"""What a load test is: what was sent, what came back, and whether the objective held."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from treadle.evaluate.types import Outcome, Verdict
from treadle.kernel.config import ObjectiveConfig
from treadle.kernel.errors import ErrorBody, Refused

Arrivals = Literal["poisson", "constant"]

MOST_ROWS = 10_000


class NewLoadTest(msgspec.Struct, frozen=True, kw_only=True):
    """A load test that is asked for.

    Attributes:
        version: The model version to test, on a replica of its own that gets no traffic; the running
            deployment when left out.
        rate: Requests a second; ``[serve.objective] rate`` when left out.
        seconds: How long, after a second or two that are not counted.
        arrivals: Requests come at random, as from many callers, or at even distances.
        seed: Of the random arrivals.
        rows: The rows to ask, one a request, in turn; those of the version's example when left out.
        environment: Whose running deployment is tested; the last one's when left out.
    """

    version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    rate: Annotated[float, Meta(gt=0, le=50_000)] | None = None
    seconds: Annotated[float, Meta(ge=1, le=300)] = 30.0
    arrivals: Arrivals = "poisson"
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    rows: Annotated[tuple[dict[str, Any], ...], Meta(max_length=MOST_ROWS)] = ()
    environment: str = ""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What the generator is to send.

    Attributes:
        addresses: Host and port of each server, asked in turn.
        path: What is asked there.
        bodies: The requests' bodies, in turn.
        headers: Headers of each request.
        rate: Requests a second.
        seconds: For how long.
        warmup: Seconds before that, at the same rate, which are not counted.
        arrivals: At random or at even distances.
        seed: Of the random arrivals.
        timeout: Seconds after which a request counts as not answered.
    """

    addresses: tuple[tuple[str, int], ...]
    path: str
    bodies: tuple[bytes, ...]
    headers: dict[str, str]
    rate: float
    seconds: float
    warmup: float
    arrivals: Arrivals
    seed: int
    timeout: float


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the requests of a load test; warm-up left out.

    Attributes:
        at: When each was to be sent, in seconds from the beginning.
        seconds: From then to its answer; infinite where it failed.
        lag: How much later than intended the generator came to each.
        statuses: How many were answered with each status; 0 counts those without an answer.
        refused: What the server said of a request that it found wrong, if it did of one.
        cpu: The share of one core that the generator used.
    """

    at: list[float]
    seconds: list[float]
    lag: list[float]
    statuses: dict[int, int]
    refused: str
    cpu: float


class LoadTest(msgspec.Struct, frozen=True, kw_only=True):
    """A load test that was run.

    Attributes:
        id: Its identifier.
        model: The model.
        version: The version that was asked.
        revision: The revision, of a running deployment; None where a replica was started for the test.
        at: When it was begun.
        actor: Who asked for it.
        rate: Requests a second that were intended.
        seconds: How long.
        arrivals: How requests came.
        requests: How many were sent.
        failed: Of those, how many were answered with an error of the server, or not at all.
        p50_ms: Median time from the intended sending to the answer; None if fewer were answered.
        p99_ms: 99th percentile of the same.
        lag_ms: 99th percentile of how late the generator itself was.
        objective: What it was held against.
        verdicts: Whether it held, by objective, and whether the generator kept up.
        outcome: All together; inconclusive where the generator could not keep up, and where it was stopped.
        cancelled: Why it was stopped before its time; then nothing was judged, and it is no evidence.
    """

    id: str
    model: str
    version: int
    revision: int | None
    at: datetime
    actor: str
    rate: float
    seconds: float
    arrivals: Arrivals
    requests: int
    failed: int
    p50_ms: float | None
    p99_ms: float | None
    lag_ms: float
    objective: ObjectiveConfig
    verdicts: tuple[Verdict, ...]
    outcome: Outcome
    cancelled: str = ""

    def check_held(self) -> None:
        """Checks that it is evidence for the version.

        Raises:
            Refused: If the objective didn't hold, that can't be told, or it was stopped.
        """
        ref = f"{self.model}/{self.version}"
        again = f"treadle deploy loadtest {self.model} --version {self.version}"
        if self.cancelled:
            raise Refused(
                f"the load test that it has to pass was stopped, and nothing was judged: {self.cancelled}",
                where=ref,
                fix=f"ask again, or test it beforehand: {again}",
            )
        if self.outcome != "pass":
            why = next(one.sentence for one in self.verdicts if one.outcome == self.outcome)
            raise Refused(
                f"a load test at {self.rate:g} requests a second came out {self.outcome}: {why}",
                where=ref,
                fix=f"see {again}; "
                "declare what it can hold in [serve.objective], or set [deploy] loadtest = false",
            )


class LoadProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a load test is.

    Attributes:
        step: Whether the version is being started, requests are sent, or what came of them is judged.
        due: How many requests are to be sent, those of the warm-up too.
        sent: How many were.
        answered: How many of those were answered, or can't be any more.
        failed: Of those, how many with an error of the server, or not at all.
        p99_ms: 99th percentile of the times of the last 1,000 that were answered; None before the first.
        left: Seconds until the last is to be sent.
    """

    step: Literal["starting", "sending", "judging"] = "starting"
    due: int = 0
    sent: int = 0
    answered: int = 0
    failed: int = 0
    p99_ms: float | None = None
    left: float | None = None

    @property
    def sentence(self) -> str:
        """How far it is, in a line."""
        if self.step != "sending":
            return {"starting": "starting the version", "judging": "judging what came"}[self.step]
        p99 = f", p99 {self.p99_ms:.4g} ms" if self.p99_ms is not None else ""
        failed = f", {self.failed:,} failed" if self.failed else ""
        left = f", {self.left:.0f} s left" if self.left else ""
        return f"sent {self.sent:,} of {self.due:,} requests{failed}{p99}{left}"


class LoadTestJob(msgspec.Struct, frozen=True, kw_only=True):
    """A load test that is under way, or has ended.

    Attributes:
        id: Its identity.
        model: The model.
        asked: What is asked for; the rows are left out.
        actor: Who asked.
        at: When it began.
        state: ``done`` whatever the verdicts; ``cancelled`` where somebody stopped it; ``failed`` where it
            could not be made.
        progress: How far it is.
        result: What it came to; None before it has ended, and where it failed.
        error: Why it failed.
    """

    id: str
    model: str
    asked: NewLoadTest
    actor: str
    at: datetime
    state: Literal["running", "done", "cancelled", "failed"] = "running"
    progress: LoadProgress = LoadProgress()
    result: LoadTest | None = None
    error: ErrorBody | None = None
