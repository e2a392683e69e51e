"""What a check will ask, what that will cost, and what it will be able to tell. No I/O."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from treadle.evaluate.behaviour.cases import Cases, groups_of
from treadle.evaluate.behaviour.judging.early import sprt
from treadle.evaluate.behaviour.means import standard_error
from treadle.evaluate.behaviour.sequential import expected_cases
from treadle.evaluate.behaviour.setup import as_config, is_earlier
from treadle.evaluate.behaviour.targets.paths import as_text
from treadle.evaluate.rules import POWER
from treadle.evaluate.types import Evaluation, Planned
from treadle.evaluate.wording import percent
from treadle.kernel.config import BehaviourCheck, TargetConfig
from treadle.kernel.config.behaviour_rules import costs

_LETTERS = 4
_TOKENS = 256
_RATE = 0.8


def plan(check: BehaviourCheck, cases: Cases, earlier: Evaluation | None) -> list[Planned]:
    """What a check will do.

    Args:
        check: What is declared.
        cases: Its cases.
        earlier: The newest evaluation of the check: how alike answers are and what a call costs is then
            known, and else assumed.
    """
    return list(_plan(check, cases, dict(earlier.metrics) if earlier else {}))


def _plan(check: BehaviourCheck, cases: Cases, known: dict[str, float]) -> Iterator[Planned]:
    yield _calls(check, cases, known)
    count = len(cases.cases)
    alike = known.get("correlation", check.correlation)
    told = (
        f"answers to a case as alike as {alike:.2g}, as {'measured' if 'correlation' in known else 'assumed'}"
    )
    if check.bound is not None and check.stop_early is not None:
        yield _early(check, count)
    elif check.bound is not None:
        yield _bound(check, count, alike, told)
    for name, scorer in check.scorers.items():
        if scorer.bound is not None:
            yield _sure("bound", name, f"the mean of {name} is at least {scorer.bound:g}", count)
    for key, name in (("pass_hat_k", "pass^"), ("pass_at_k", "pass@")):
        if (declared := getattr(check, key)) is not None:
            named = f"{name}{declared.k}"
            yield _sure("pass_k", named, f"{named} is at least {declared.bound:g}", count)
    if check.case_bound is not None:
        yield _each(check, count)
    if check.baseline is not None:
        yield from _beside(check, cases, known, alike, told)


def _sure(check: str, subject: str, hypothesis: str, count: int) -> Planned:
    sentence = f"{hypothesis}, on {count:,} cases."
    return Planned(
        check=check, subject=subject, hypothesis=hypothesis, sentence=sentence, n=count, unit="cases"
    )


# ── calls and cost ───────────────────────────────────────────────────────


def _calls(check: BehaviourCheck, cases: Cases, known: dict[str, float]) -> Planned:
    count = len(cases.cases) * check.repeats
    target = as_config(check.target)
    name = target.call or target.model or target.url
    asked = [f"{count:,} calls of {name} ({len(cases.cases):,} cases, {check.repeats} times each)"]
    total, cost = count, _cost(target, cases, count, known)
    if check.baseline is not None and not is_earlier(check.baseline):
        baseline = as_config(check.baseline)
        asked.append(f"{count:,} of the baseline")
        total, cost = total + count, cost + _cost(baseline, cases, count, {})
    for name, scorer in check.scorers.items():
        for judge in (scorer.judges or list(check.judges)) if scorer.kind == "judge" else ():
            asked.append(f"at most {total:,} of the judge {judge} for {name}")
            cost += _cost(check.judges[judge], cases, total, {})
    said = ", ".join(asked)
    if cost:
        how = (
            "as before"
            if "cost_per_call" in known
            else f"a token for {_LETTERS} letters, {_TOKENS} tokens an answer"
        )
        said += f": about {cost:.3g} ({how})"
        said += f", of a budget of {check.budget:g}" if check.budget is not None else ""
    return Planned(
        check="calls",
        subject="cost",
        hypothesis="",
        sentence=f"{said}.",
        n=total,
        unit="calls",
        enough=None if check.budget is None else cost <= check.budget,
    )


def _cost(target: TargetConfig, cases: Cases, calls: int, known: dict[str, float]) -> float:
    """What calls will cost: as measured, or by the letters of the questions."""
    if not costs(target):
        return 0.0
    if "cost_per_call" in known:
        return known["cost_per_call"] * calls
    letters = sum(len(as_text(case.input)) + len(target.system or "") for case in cases.cases)
    read = letters / _LETTERS / len(cases.cases)
    most = target.params.get("max_tokens", target.params.get("max_completion_tokens", _TOKENS))
    written = float(most) if isinstance(most, int) and not isinstance(most, bool) else _TOKENS
    return calls * (target.call_price + (read * target.input_price + written * target.output_price) / 1e6)


# ── what can be told ─────────────────────────────────────────────────────


def _reach(check: BehaviourCheck) -> float:
    """How many standard errors an effect must have to be found nine times in ten."""
    from scipy.special import ndtri

    return float(ndtri(check.confidence) + ndtri(POWER))


def _bound(check: BehaviourCheck, count: int, alike: float, told: str) -> Planned:
    """The smallest true rate above the bound that will pass nine times in ten."""
    bound = float(check.bound or 0)
    low, high = bound, 1.0
    for _ in range(60):
        rate = (low + high) / 2
        error = standard_error(rate, count, check.repeats, alike)
        clears = rate * count / (count + 1) - bound >= _reach(check) * error
        low, high = (low, rate) if clears else (rate, high)
    # Where every answer passes there is no spread; then the number of cases decides.
    possible = (1 - check.confidence) ** (1 / count) >= bound if bound < 1 else False
    hypothesis = f"{check.measure} is at least {bound:g}"
    if not possible:
        fewest = math.ceil(math.log(1 - check.confidence) / math.log(bound)) if 0 < bound < 1 else None
        more = f"; {fewest:,} cases are the fewest that can" if fewest else ""
        sentence = f"{hypothesis}: {count:,} cases can't show it even if every answer passes{more}."
        detectable = None
    else:
        detectable = high - bound
        sentence = (
            f"{hypothesis}: a system that passes {percent(high)} of the time will show it nine times in ten, "
            f"on {count:,} cases, {check.repeats} times each ({told})."
        )
    return Planned(
        check="bound",
        subject=check.measure,
        hypothesis=hypothesis,
        sentence=sentence,
        n=count,
        unit="cases",
        detectable=detectable,
        enough=possible,
    )


def _early(check: BehaviourCheck, count: int) -> Planned:
    test = sprt(check)
    good, bad = (math.ceil(expected_cases(test, rate)) for rate in (test.good, test.bad))
    hypothesis = f"{check.measure} is at least {test.good:g} rather than at most {test.bad:g}"
    return Planned(
        check="bound",
        subject=check.measure,
        hypothesis=hypothesis,
        sentence=f"{hypothesis}: told after about {good:,} cases at {test.good:g} and {bad:,} at "
        f"{test.bad:g} if answers to a case are all alike, of {count:,}; wrong at most "
        f"{percent(test.false_fail)} and {percent(test.false_pass)} of the time.",
        n=count,
        unit="cases",
        detectable=test.good - test.bad,
        enough=max(good, bad) <= count,
    )


def _each(check: BehaviourCheck, count: int) -> Planned:
    bound, alpha = float(check.case_bound or 0), 1 - check.confidence
    fewest = math.ceil(math.log(alpha) / math.log(bound)) if 0 < bound < 1 else 1
    hypothesis = f"each case passes at least {bound:g} of the time"
    sentence = (
        f"{hypothesis}: {check.repeats} answers a case can show that one fails"
        + ("" if check.repeats >= fewest else f", and {fewest:,} are needed to show that it passes")
        + "."
    )
    return Planned(
        check="every_case",
        subject="cases",
        hypothesis=hypothesis,
        sentence=sentence,
        n=count,
        unit="cases",
        enough=check.repeats >= fewest,
    )


def _beside(
    check: BehaviourCheck, cases: Cases, known: dict[str, float], alike: float, told: str
) -> Iterator[Planned]:
    rate = min(max(known.get("pass_rate", check.bound or _RATE), 0.05), 0.95)
    groups = Counter(group for case in cases.cases for group in groups_of(case, check.by))
    yield _paired(check, ("overall", len(cases.cases), check.margin), rate, alike, told)
    for name, count in sorted(groups.items()):
        if count >= check.min_cases:
            yield _paired(check, (name, count, check.group_margin), rate, alike, told)


def _paired(
    check: BehaviourCheck, part: tuple[str, int, float], rate: float, alike: float, told: str
) -> Planned:
    """The smallest margin within which a system that is as good as the baseline will be shown to lie.

    The variance of a case's difference is taken as twice that of its answers, and as that between cases
    once: as if half of what makes a case hard were hard for both.
    """
    subject, count, margin = part
    spread = rate * (1 - rate)
    variance = (2 * spread * (1 - alike) / check.repeats + spread * alike) / count
    least = _reach(check) * math.sqrt(variance) + 1 / (count + 1)
    hypothesis = f"{check.measure} is no more than {margin:g} worse than the baseline's"
    said = "is enough" if least <= margin else "isn't enough"
    early = "" if check.stop_early is None else " Asking ends as soon as it is told."
    return Planned(
        check="no_worse",
        subject=subject,
        hypothesis=hypothesis,
        sentence=f"{hypothesis}: one that is as good will be shown to be within {least:.2g} nine times in "
        f"ten, which {said}, on {count:,} cases, {check.repeats} times each ({told}).{early}",
        n=count,
        unit="cases",
        detectable=least,
        enough=least <= margin,
    )
