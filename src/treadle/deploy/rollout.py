"""How a revision takes over: what each step asks of replicas, and when it goes on or back. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec.structs import replace

from treadle.deploy.guards import evidence_above, evidence_worse
from treadle.deploy.types import ArmCounts, Guard, Replica, Revision, Rollout, TrialReport
from treadle.evaluate import pool_bins, psi, psi_quantile
from treadle.kernel.config import DeployConfig
from treadle.kernel.units import parse_duration

UNDECIDED = frozenset({"shadow", "challenger"})
"""Strategies that only a person ends."""

_RESTARTS = 2
_SLOW_SHARE = 0.01  # what a 99th percentile leaves out
_MIN_ROWS = 200  # a shift of fewer answers is mostly chance


class Decision(msgspec.Struct, frozen=True):
    """What is to become of a revision in trial.

    Attributes:
        kind: To wait, to begin its first or the next step, to take over, or to be taken back.
        reason: Why.
    """

    kind: Literal["wait", "step", "finish", "back"]
    reason: str


def trial_of(revisions: Iterable[Revision]) -> Revision | None:
    """The revision that takes over just now, if one does."""
    return max((r for r in revisions if r.state == "trial"), key=lambda r: r.revision, default=None)


def has_loaded(replica: Replica, trial: Revision) -> bool:
    """Whether a replica has a revision in trial loaded."""
    return replica.trial is not None and replica.trial.revision == trial.revision


def steps(plan: DeployConfig, replicas: int) -> int:
    """How many steps a plan has with so many replicas."""
    if plan.strategy == "canary":
        return len(plan.steps)
    return max(1, replicas) if plan.strategy == "rolling" else 1


def share(trial: Revision, replica: int) -> float:
    """The share of requests that a replica lets a revision answer.

    Args:
        trial: The revision.
        replica: The place of the replica among those that live, by name, from 0.
    """
    plan = trial.plan
    if plan is None or trial.step_at is None or plan.strategy == "shadow":
        return 0.0
    if plan.strategy == "rolling":
        return 1.0 if replica <= trial.step else 0.0
    if plan.strategy == "blue-green":
        return 1.0
    return plan.steps[min(trial.step, len(plan.steps) - 1)]


def total(reports: Iterable[TrialReport]) -> TrialReport | None:
    """The counts of all processes together; None if there are none."""
    found: TrialReport | None = None
    for one in reports:
        if found is None:
            found = one
            continue
        found = replace(
            found,
            trial=_sum(found.trial, one.trial),
            beside=_sum(found.beside, one.beside),
            compared=found.compared + one.compared,
            apart=found.apart + one.apart,
        )
    return found


def _sum(one: ArmCounts, two: ArmCounts) -> ArmCounts:
    longer, shorter = sorted((one.answers, two.answers), key=len, reverse=True)
    padded = (*shorter, *(0 for _ in range(len(longer) - len(shorter))))
    return ArmCounts(
        one.requests + two.requests,
        one.errors + two.errors,
        one.slow + two.slow,
        tuple(a + b for a, b in zip(longer, padded, strict=True)),
    )


# ── guards ───────────────────────────────────────────────────────────────


def guards(plan: DeployConfig, counts: ArmCounts, beside: ArmCounts) -> tuple[Guard, ...]:
    """What a revision must keep within, and the evidence that it doesn't."""
    declared = plan.guards
    rates: list[tuple[str, float, int, int, float | None]] = [
        ("errors", evidence_above(counts.errors, counts.requests, declared.max_error_rate), counts.errors, 0,
         declared.max_error_rate)
    ]  # fmt: skip
    if declared.max_p99_ms is not None:
        evidence = evidence_above(counts.slow, counts.requests, _SLOW_SHARE)
        rates.append(("slow", evidence, counts.slow, 0, _SLOW_SHARE))
    if declared.beside:
        evidence = evidence_worse(counts.errors, counts.requests, beside.errors, beside.requests)
        rates.append(("errors beside", evidence, counts.errors, beside.errors, None))
    if declared.beside and declared.max_p99_ms is not None:
        evidence = evidence_worse(counts.slow, counts.requests, beside.slow, beside.requests)
        rates.append(("slow beside", evidence, counts.slow, beside.slow, None))
    alpha = declared.false_alarm / (len(rates) + (declared.max_shift is not None))
    found = []
    for name, log, bad, bad_beside, bound in rates:
        what = "ended with an error" if name.startswith("errors") else f"took over {declared.max_p99_ms:g} ms"
        seen = f"{bad:,} of {counts.requests:,} requests {what}"
        limit = f"; {bound:.3g} may" if bound is not None else (
            f"; of those beside it {bad_beside:,} of {beside.requests:,}"
        )  # fmt: skip
        found.append(
            Guard(
                name=name,
                sentence=seen + limit,
                evidence=math.exp(min(log, 700.0)),
                limit=1 / alpha,
                broken=log >= -math.log(alpha),
            )
        )
    if declared.max_shift is not None:
        found.append(_shift(declared.max_shift, alpha / len(plan.steps), counts, beside))
    return tuple(found)


def _shift(most: float, alpha: float, counts: ArmCounts, beside: ArmCounts) -> Guard:
    now, then = sum(counts.answers), sum(beside.answers)
    if min(now, then) < _MIN_ROWS or len(counts.answers) != len(beside.answers):
        sentence = f"answers can be compared from {_MIN_ROWS} rows of each on; there are {now:,} and {then:,}"
        return Guard(name="shift", sentence=sentence, evidence=None, limit=most)
    old, new = pool_bins(beside.answers, counts.answers)
    found, chance = psi(old, new), psi_quantile(then, now, len(old), alpha)
    sentence = f"its {now:,} answers are {found:.3g} (PSI) from the {then:,} beside it; "
    sentence += f"{most:g} may be, {chance:.3g} is chance"
    return Guard(name="shift", sentence=sentence, evidence=None, limit=most, broken=found > max(most, chance))


# ── deciding ─────────────────────────────────────────────────────────────


def rollout(
    trial: Revision, replicas: Sequence[Replica], reports: Sequence[TrialReport], now: datetime
) -> Rollout:
    """How far a revision is with taking over.

    Args:
        trial: The revision.
        replicas: Those that live.
        reports: What each process that has tried it saw of it.
        now: When it is asked.
    """
    plan = trial.plan or DeployConfig()
    seen = total(reports) or TrialReport(
        revision=trial.revision, process="", trial=ArmCounts(), beside=ArmCounts()
    )
    count = steps(plan, len(replicas))
    held = [share(trial, place) for place in range(max(1, len(replicas)))]
    return Rollout(
        revision=trial,
        share=sum(held) / len(held),
        shadow=plan.strategy == "shadow",
        steps=count,
        counts=seen.trial,
        beside=seen.beside,
        guards=guards(plan, seen.trial, seen.beside),
        waits=_waits(trial, plan, replicas, seen.trial.requests, now),
        compared=seen.compared,
        apart=seen.apart / seen.compared if seen.compared else None,
    )


def _waits(
    trial: Revision, plan: DeployConfig, replicas: Sequence[Replica], requests: int, now: datetime
) -> str:
    if not replicas:
        return "a replica"
    loaded = sum(has_loaded(one, trial) for one in replicas)
    if loaded < len(replicas):
        return f"{len(replicas) - loaded} of {len(replicas)} replicas to load it"
    if trial.step_at is None:
        return ""
    left = trial.step_at + parse_duration(plan.bake) - now
    if left > timedelta():
        return f"{-(-left // timedelta(seconds=1)):,} more seconds"
    missing = plan.min_requests * (trial.step + 1) - requests
    if missing > 0:
        return f"{missing:,} more requests"
    return "somebody's decision" if plan.strategy in UNDECIDED else ""


def decide(found: Rollout, names: Sequence[str]) -> Decision:
    """What is to become of a revision in trial.

    Args:
        found: How far it is.
        names: The replica of each process that has tried it.
    """
    for name in sorted(set(names)):
        if names.count(name) > 1 + _RESTARTS:
            return Decision("back", f"replica {name} ended {names.count(name) - 1} times while it tried it")
    broken = [guard for guard in found.guards if guard.broken]
    ending = found.waits in ("", "somebody's decision") and found.revision.step_at is not None
    for guard in broken:
        if guard.evidence is not None or ending:
            return Decision("back", f"guard {guard.name!r}: {guard.sentence}")
    if found.waits:
        return Decision("wait", found.waits)
    if found.revision.step_at is None:
        return Decision("step", "every replica has loaded it")
    if found.revision.step + 1 < found.steps:
        return Decision("step", f"step {found.revision.step + 1} of {found.steps} ended with all guards kept")
    return Decision("finish", "its last step ended with all guards kept")
