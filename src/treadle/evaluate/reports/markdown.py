"""Evaluations as Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from treadle.evaluate.reports.ordering import SIGNS, counted, facts, title, worst_first
from treadle.evaluate.rules import aggregate
from treadle.evaluate.types import Evaluation, Verdict


def markdown(evaluations: Sequence[Evaluation]) -> str:
    """What some evaluations found: what needs a look as a table, what passed folded away."""
    outcome = aggregate(one.outcome for one in evaluations)
    lines = [f"# {SIGNS[outcome]} Checks: {outcome}", ""]
    for evaluation in evaluations:
        lines += _section(evaluation)
    return "\n".join(lines)


def _section(evaluation: Evaluation) -> Iterator[str]:
    verdicts = worst_first(evaluation.verdicts)
    open_ones = [one for one in verdicts if one.outcome != "pass" and not one.exploratory]
    passed = [one for one in verdicts if one.outcome == "pass" and not one.exploratory]
    proposed = [one for one in verdicts if one.exploratory]
    yield from (f"## {SIGNS[evaluation.outcome]} {_plain(title(evaluation))}", "")
    yield from (f"{counted(verdicts)}.", "")
    if open_ones:
        yield from _table(open_ones)
    for name, some in (("passed", passed), ("proposed by a search; they decide nothing", proposed)):
        if some:
            yield from (f"<details><summary>{len(some)} {name}</summary>", "")
            yield from _table(some)
            yield from ("</details>", "")
    yield from ("; ".join(f"{name}: `{_code(value)}`" for name, value in facts(evaluation)), "")


def _table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield from ("| | check | of | what was found |", "|---|---|---|---|")
    for one in verdicts:
        cells = (SIGNS[one.outcome], one.check, one.subject, one.sentence)
        yield f"| {' | '.join(map(_plain, cells))} |"
    yield ""


def _plain(text: str) -> str:
    """Text that stays text: names of columns and groups may hold what Markdown or HTML reads."""
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    return " ".join(text.split()).replace("`", "'")
