"""What a card says, as names, values and rows that every format prints. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec

from treadle.evaluate.types import Evaluation, Verdict
from treadle.kernel.units import format_bytes, format_duration
from treadle.registry.card.types import ENERGY, Card

Row = tuple[str, ...]
_DIFFERENCES = frozenset({"no_worse", "null_increase"})
_WHAT = {
    "bound": "{metric}, held against its bound",
    "no_worse": "{metric}, difference from the version in production",
    "bias.no_worse": "{metric}, gap beside that of the version in production",
}


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Estimates of one metric with their intervals.

    Attributes:
        title: What was measured, and beside what.
        verdicts: One for each group.
        zero: What zero means; empty where it means nothing.
    """

    title: str
    verdicts: tuple[Verdict, ...]
    zero: str


def known(pairs: Iterable[tuple[str, str | None]]) -> list[tuple[str, str]]:
    """Names and values without those that aren't known."""
    return [(name, value) for name, value in pairs if value]


def head(card: Card) -> list[tuple[str, str]]:
    """What a version is."""
    version = card.version
    return known(
        (
            ("Status", version.status),
            ("Registered", _at(version.created_at)),
            ("What for", version.description),
            ("Owner", version.owner),
            ("Licence", version.licence),
            ("Needs", version.hardware),
            ("Identity", version.id),
            ("Size", format_bytes(version.size) if version.files else ""),
            ("Aliases", ", ".join(f"@{alias}" for alias in version.aliases)),
            ("Imported", _imported(card)),
            ("Tags", ", ".join(f"{key}={value}" for key, value in sorted(version.tags.items()))),
        )
    )


def _imported(card: Card) -> str:
    found = card.version.imported
    return f"from {found.ref} of {found.project}, {found.status} there, by {found.actor}" if found else ""


def interface(card: Card) -> list[Row]:
    """What it takes and gives."""
    takes = card.version.signature
    if takes is None:
        return [("", card.version.interface)] if card.version.interface else []
    rows = [("takes", f"{field.name} ({field.kind})") for field in takes.inputs]
    return [*rows, *(("gives", name) for name in takes.gives)]


def data(card: Card) -> list[Row]:
    """What it was trained and judged on: role, version, from, until, rows."""
    rows: list[Row] = []
    for one in card.version.data:
        since, until = (f"{at:%Y-%m-%d}" if at else "" for at in (one.spec.since, one.spec.until))
        name = f"{one.spec.dataset}@v{one.number}"
        rows.append((one.role, name, since, until, f"{one.rows:,}", one.digest[:12]))
    named = ((used.context, used.name, "", "", "", used.digest[:12]) for used in card.version.used)
    return [*rows, *named]


def training(card: Card) -> list[tuple[str, str]]:
    """How it was made, and of what."""
    version = card.version
    params = ", ".join(f"{name}={value}" for name, value in sorted(version.params.items()))
    return known(
        (
            ("Run", version.run),
            ("Cycle", version.cycle),
            ("Made by", version.made_by),
            ("Recipe", version.recipe),
            ("Code", version.code),
            ("Environment", version.environment),
            ("Parameters", params),
            ("Seed", None if version.seed is None else str(version.seed)),
            ("Loaded as", ", ".join(version.flavors)),
        )
    )


def metrics(card: Card) -> list[Row]:
    """Its final metrics, without intervals."""
    return [(name, f"{value:.6g}") for name, value in sorted(card.version.metrics.items())]


def figures(card: Card, *, bias: bool) -> list[Figures]:
    """Estimates with intervals: of bias, or all others."""
    found = [
        one
        for evaluation in card.evaluations
        if evaluation.kind != "data"
        for one in evaluation.verdicts
        if one.check.startswith("bias") is bias and None not in {one.low, one.high, one.estimate}
    ]
    found.sort(key=lambda one: (one.exploratory, one.check, one.metric))
    grouped = groupby(found, key=lambda one: (one.exploratory, one.check, one.metric))
    return [_figures(check, metric, list(some)) for (_, check, metric), some in grouped]


def _figures(check: str, metric: str, some: Sequence[Verdict]) -> Figures:
    title = _WHAT.get(check, "{check}, {metric}" if metric else "{check}")
    if check.startswith("bias.") and check not in _WHAT:
        title = "{metric}, difference from the reference group ({check})"
    title = title.format(metric=metric or "metric", check=check.removeprefix("bias.").replace("_", " "))
    if some[0].exploratory:
        title += " (found by a search, declared by nobody)"
    differs = check in _DIFFERENCES or check.startswith("bias")
    return Figures(title=title, verdicts=tuple(some), zero="no difference" if differs else "")


def bias(card: Card) -> list[Verdict]:
    """What was found of bias."""
    return [one for made in card.evaluations for one in made.verdicts if one.check.startswith("bias")]


def open_points(card: Card) -> list[Row]:
    """What its checks found against it or could not tell, bias apart: outcome, check, of what, sentence."""
    rows: list[Row] = [
        (one.outcome, one.check, one.subject, one.sentence)
        for outcome in ("fail", "inconclusive", "warn")
        for made in card.evaluations
        for one in made.verdicts
        if one.outcome == outcome and not one.exploratory and not one.check.startswith("bias")
    ]
    if card.version.missing:
        rows.append(("unknown", "passport", "", f"not known of it: {', '.join(card.version.missing)}"))
    return rows


def judged(card: Card) -> list[Row]:
    """The evaluations: identity, what of, outcome, when, by whom."""
    return [
        (one.id, one.kind, one.outcome, _at(one.at), one.basis.origin or "here") for one in card.evaluations
    ]


def spent(card: Card) -> list[tuple[str, str]]:
    """What making it took; what nobody measured is said to be unknown."""
    found = card.spent
    energy = [(name, f"{value:.4g} {ENERGY[name]}") for name, value in found.logged.items()]
    return known(
        (
            ("Its run", _cpu(found.run_cpu)),
            ("Its cycle", _cpu(found.cycle_cpu)),
            ("On", found.machine),
            *energy,
            ("Energy and carbon", "" if energy else "not measured"),
        )
    )


def _cpu(seconds: float | None) -> str:
    return "" if seconds is None else f"{format_duration(seconds)} of CPU time"


def history(card: Card) -> list[Row]:
    """Its changes of status: when, which, by whom, why."""
    return [
        (
            _at(one.at),
            f"{one.before} → {one.after}" if one.before else one.after,
            one.actor,
            one.reason + (" (against its gate)" if one.override else ""),
        )
        for one in card.history
    ]


def baseline(evaluations: Iterable[Evaluation]) -> str:
    """What its performance was compared with."""
    return next((one.baseline for one in evaluations if one.baseline), "")


def _at(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
