"""Whether an objective held under a load: pass, fail, or inconclusive. Pure.

A percentile is bounded by order statistics: how many of ``n`` requests lie below the 99th percentile
is binomial, whatever the distribution of their times (Hahn, Meeker, *Statistical Intervals*, 1991,
section 5.2). A share of errors is bounded by Clopper and Pearson (Biometrika 26, 1934). Both suppose
requests that don't depend on each other; slow ones come in bursts. So ``n`` is divided by how much more
than that their number varies from part to part of the test, as Korn and Graubard do for clusters
(Survey Methodology 24, 1998).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from treadle.deploy.loadtest.types import Sent
from treadle.evaluate import Outcome, Verdict
from treadle.kernel.config import ObjectiveConfig

CONFIDENCE = 0.95
_QUANTILE = 0.99
_PARTS = 30
# A generator that is later than this makes the times its own: in milliseconds, or as a share of the bound.
_LAG_MS, _LAG_SHARE = 2.0, 0.1
_RATE_SHARE = 0.05
_POWER_Z = 1.2816  # nine tests of ten

Floats = npt.NDArray[np.float64]


def judge(sent: Sent, objective: ObjectiveConfig, rate: float, seconds: float) -> tuple[Verdict, ...]:
    """Whether each objective held, and whether the generator kept up.

    Where it did not, whatever was measured is inconclusive.

    Args:
        sent: What was sent and what came back.
        objective: What is to hold.
        rate: Requests a second that were intended.
        seconds: For how long.
    """
    at, taken = np.array(sent.at), np.array(sent.seconds) * 1000
    asked = [objective.p99_ms, objective.availability]
    level = 1 - (1 - CONFIDENCE) / max(1, sum(one is not None for one in asked))
    found = []
    if objective.p99_ms is not None:
        found.append(_quick(at, taken, objective.p99_ms, level))
    if objective.availability is not None:
        found.append(_answered(at, ~np.isfinite(taken), objective.availability, level))
    generator = _generator(sent, objective, rate, seconds)
    if generator.outcome != "pass":
        found = [_doubted(one) for one in found]
    return (*found, generator)


def quantile_bounds(ordered: Floats, effective: float, quantile: float, level: float) -> tuple[float, float]:
    """One-sided bounds of a quantile by order statistics, each at its own level of confidence.

    Args:
        ordered: What was observed, in order.
        effective: So many independent observations it is worth; at most ``len(ordered)``.
        quantile: Which, from 0 to 1.
        level: The confidence of each bound.

    Returns:
        The lower bound, 0 if there is none, and the upper one, infinite if there is none.
    """
    from scipy.stats import binom

    count, worth = len(ordered), math.floor(effective)
    if not worth:
        return 0.0, math.inf
    # P(X(k) >= q) = P(fewer than k below q) and P(X(k) <= q) = P(at least k below q).
    upper = int(binom.ppf(level, worth, quantile)) + 1
    lower = int(binom.ppf(1 - level, worth, quantile))
    high = math.inf if upper > worth else float(ordered[math.ceil(upper / worth * count) - 1])
    return float(ordered[math.floor(lower / worth * count) - 1]) if lower else 0.0, high


def share_bounds(bad: float, count: float, level: float) -> tuple[float, float]:
    """One-sided Clopper-Pearson bounds of a share, each at its own level of confidence."""
    from scipy.special import betaincinv

    low = float(betaincinv(bad, count - bad + 1, 1 - level)) if bad else 0.0
    high = float(betaincinv(bad + 1, count - bad, level)) if bad < count else 1.0
    return low, high


def design_effect(at: Floats, bad: npt.NDArray[np.bool_]) -> float:
    """How many times as much the number of bad ones varies from part to part as if each came by itself."""
    share = bad.mean() if len(bad) else 0.0
    if not 0 < share < 1:
        return 1.0
    edges = np.linspace(at[0], at[-1], _PARTS + 1)[1:-1]
    part = np.searchsorted(edges, at, side="right")
    apart = np.bincount(part, bad - share, minlength=_PARTS)
    variance = _PARTS / (_PARTS - 1) * float(np.sum(apart**2))
    return max(1.0, variance / (len(bad) * share * (1 - share)))


def _quick(at: Floats, taken: Floats, limit: float, level: float) -> Verdict:
    count, ordered = len(taken), np.sort(taken)
    estimate = float(ordered[min(count - 1, math.ceil(_QUANTILE * count) - 1)]) if count else math.inf
    effect = design_effect(at, taken > estimate)
    low, _ = quantile_bounds(ordered, count / effect, _QUANTILE, level)
    _, high = quantile_bounds(ordered, count / effect, _QUANTILE, CONFIDENCE)
    outcome: Outcome = "pass" if high <= limit else "fail" if low > limit else "inconclusive"
    most = "no bound" if math.isinf(high) else f"{high:.3g} ms"
    return Verdict(
        check="p99",
        subject="overall",
        outcome=outcome,
        sentence=f"99 of 100 requests are answered within {_ms(estimate)}; between {_ms(low)} and {most}"
        f" with {CONFIDENCE:.0%} confidence; {limit:g} ms are allowed",
        hypothesis=f"the 99th percentile is over {limit:g} ms",
        estimate=estimate if math.isfinite(estimate) else None,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        bound=limit,
        test="order statistics, one-sided",
        n=count,
        n_needed=None if outcome != "inconclusive" else _needed(taken > limit, 1 - _QUANTILE, effect),
        unit="requests",
        metric="p99_ms",
    )


def _answered(at: Floats, failed: npt.NDArray[np.bool_], availability: float, level: float) -> Verdict:
    count, bad, allowed = len(failed), int(failed.sum()), 1 - availability / 100
    effect = design_effect(at, failed)
    low, _ = share_bounds(bad / effect, count / effect, level) if count else (0.0, 1.0)
    _, high = share_bounds(bad / effect, count / effect, CONFIDENCE) if count else (0.0, 1.0)
    outcome: Outcome = "pass" if high <= allowed else "fail" if low > allowed else "inconclusive"
    return Verdict(
        check="availability",
        subject="overall",
        outcome=outcome,
        sentence=f"{bad:,} of {count:,} requests failed; at most {high:.3%} do with {CONFIDENCE:.0%}"
        f" confidence; {allowed:.3%} may",
        hypothesis=f"more than {allowed:.3%} of the requests fail",
        estimate=bad / count if count else None,
        low=low,
        high=high,
        bound=allowed,
        test="Clopper-Pearson, one-sided",
        n=count,
        n_needed=None if outcome != "inconclusive" else _needed(failed, allowed, effect),
        unit="requests",
        metric="errors",
    )


def _needed(bad: npt.NDArray[np.bool_], allowed: float, effect: float) -> int:
    """How many requests would probably have decided it, if the share stays what it is."""
    from scipy.stats import norm

    least = math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-allowed))
    share = float(bad.mean()) if len(bad) else 0.0
    if share == allowed:
        return max(least, 10 * len(bad))
    z = float(norm.ppf(CONFIDENCE))
    spread = z * math.sqrt(allowed * (1 - allowed)) + _POWER_Z * math.sqrt(share * (1 - share))
    return max(least, math.ceil(effect * (spread / (share - allowed)) ** 2))


def _generator(sent: Sent, objective: ObjectiveConfig, rate: float, seconds: float) -> Verdict:
    lag = float(np.quantile(np.array(sent.lag) * 1000, 0.99)) if sent.lag else math.inf
    allowed = max(_LAG_MS, _LAG_SHARE * objective.p99_ms) if objective.p99_ms else 10 * _LAG_MS
    came = len(sent.at) / seconds
    # A Poisson process brings more or less than its rate, by chance.
    short = came < rate * (1 - _RATE_SHARE) - 3 * math.sqrt(rate / seconds)
    kept = lag <= allowed and not short
    late = f"99 of 100 requests were begun within {_ms(lag)} of their time, {came:,.1f} a second"
    return Verdict(
        check="generator",
        subject="overall",
        outcome="pass" if kept else "inconclusive",
        sentence=late
        if kept
        else f"the generator could not keep up: {late}, with {sent.cpu:.0%} of a core; {allowed:.3g} ms are"
        " allowed. Ask for a lower rate, or test from a machine with a free core",
        estimate=lag if math.isfinite(lag) else None,
        bound=allowed,
        n=len(sent.at),
        unit="requests",
        metric="lag_ms",
    )


def _doubted(verdict: Verdict) -> Verdict:
    from msgspec.structs import replace

    return replace(
        verdict, outcome="inconclusive", sentence=f"{verdict.sentence}; but the generator could not keep up"
    )


def percentiles_ms(seconds: Sequence[float], shares: Sequence[float]) -> list[float | None]:
    """Percentiles of times, in milliseconds, where failed requests took for ever; None for those."""
    ordered = np.sort(np.array(seconds) * 1000)
    count = len(ordered)
    found = [float(ordered[math.ceil(share * count) - 1]) if count else math.inf for share in shares]
    return [round(one, 3) if math.isfinite(one) else None for one in found]


def _ms(value: float) -> str:
    return f"{value:.3g} ms" if math.isfinite(value) else "no time at all"
