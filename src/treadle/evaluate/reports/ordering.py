"""In which order verdicts are told, and what is said of them all. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from treadle.evaluate.types import Evaluation, Outcome, Verdict

ORDER: tuple[Outcome, ...] = ("fail", "inconclusive", "warn", "pass")
SIGNS: dict[Outcome, str] = {"fail": "✗", "inconclusive": "?", "warn": "!", "pass": "✓"}
_TITLES = {"data": "Data", "model": "Performance", "behaviour": "Behaviour"}


def worst_first(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Verdicts by outcome, the worst first; exploratory ones behind those that were declared."""
    return sorted(verdicts, key=lambda one: (one.exploratory, ORDER.index(one.outcome)))


def counted(verdicts: Sequence[Verdict]) -> str:
    """How many came out how, such as ``1 fail, 12 pass``; exploratory ones are no part of it."""
    declared = [one.outcome for one in verdicts if not one.exploratory]
    return ", ".join(f"{declared.count(outcome)} {outcome}" for outcome in ORDER if outcome in declared) or (
        "nothing was checked"
    )


def title(evaluation: Evaluation) -> str:
    """What an evaluation was of, such as ``Performance of flights/4 beside flights/3``."""
    beside = evaluation.baseline or evaluation.basis.reference
    rest = f" beside {_short(beside)}" if beside else ""
    return f"{_TITLES[evaluation.kind]} of {evaluation.subject}{rest}"


def facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """What an evaluation rests on, as names and values; what isn't known is left out."""
    basis = evaluation.basis
    said = (
        ("evaluation", evaluation.id),
        ("at", f"{evaluation.at:%Y-%m-%d %H:%M} UTC"),
        ("data", _short(evaluation.data or "")),
        ("reference", _short(basis.reference)),
        ("baseline", evaluation.baseline or ""),
        ("candidate", basis.candidate),
        ("code", _short(basis.code)),
        ("seed", "" if basis.seed is None else str(basis.seed)),
        ("resamples", f"{basis.resamples:,}" if basis.resamples else ""),
        ("noise between seeds", "" if evaluation.noise is None else f"{evaluation.noise:.4g}"),
        ("Treadle", basis.treadle),
        ("judged by", basis.origin),
    )
    return [(name, value) for name, value in said if value]


def evidence(verdict: Verdict) -> list[tuple[str, str]]:
    """A verdict's numbers, as names and values; what it doesn't have is left out."""
    interval = (
        f"{_number(verdict.low)} to {_number(verdict.high)}"
        if verdict.low is not None and verdict.high is not None
        else ""
    )
    said = (
        ("hypothesis", verdict.hypothesis),
        ("test", verdict.test),
        ("statistic", _number(verdict.statistic)),
        ("estimate", _number(verdict.estimate)),
        ("interval", interval),
        ("bound", _number(verdict.bound)),
        ("p", _number(verdict.p_value)),
        ("p, adjusted", _number(verdict.adjusted)),
        (verdict.unit, f"{verdict.n:,}" if verdict.n else ""),
        ("would decide", f"{verdict.n_needed:,} {verdict.unit}" if verdict.n_needed else ""),
        ("groups", ", ".join(verdict.groups)),
    )
    return [(name, value) for name, value in said if value]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _short(text: str) -> str:
    """A digest cut to what people compare; anything else as it is."""
    return text[:12] if len(text) == 64 and text.isalnum() else text
