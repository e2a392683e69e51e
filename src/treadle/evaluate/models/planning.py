"""The smallest effects that held-out rows can show, before any candidate has been scored. No I/O.

A comparison passes nine times in ten if candidate and production are equally good and the margin is at
least ``(z of the confidence + z of 0.9) * standard error``, with t of clusters. What the error will be
depends on how alike the two models are, which nobody knows yet: it is assumed, and said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from treadle.evaluate.holdout import Holdout
from treadle.evaluate.models.clustering import too_few
from treadle.evaluate.models.deciding import Aim
from treadle.evaluate.models.inferring import estimated
from treadle.evaluate.models.inputs import Scored, scored
from treadle.evaluate.models.measures import Rows
from treadle.evaluate.rules import POWER, hanley_mcneil
from treadle.evaluate.skewness import NONE, Tilt, reaches
from treadle.evaluate.types import Estimate, Planned
from treadle.evaluate.wording import percent, show
from treadle.kernel.errors import InvalidInput


class Assumed(NamedTuple):
    """What is taken for granted of a candidate that doesn't exist yet.

    Attributes:
        differing: The share of rows that it decides differently from production.
        correlation: Between its errors and production's, row by row.
        auc: Its area under the curve, where nothing is in production.
    """

    differing: float = 0.05
    correlation: float = 0.9
    auc: float = 0.8


class Expected(NamedTuple):
    """A standard error that is expected.

    Attributes:
        se: The error; None where nothing is known of it.
        why: What it rests on, in words.
        df: Degrees of freedom of what it rests on, where rows stand or fall together.
        tilt: How skewed it may be, for which bounds allow.
    """

    se: float | None
    why: str
    df: float = math.inf
    tilt: Tilt = NONE


class Planning:
    """What comparisons on some held-out rows can show.

    Args:
        holdout: The rows.
        production: Production's scores, where they are at hand.
        confidence: Of each one-sided test.
        assumed: What is taken for granted.
    """

    def __init__(
        self,
        holdout: Holdout,
        production: npt.ArrayLike | None,
        confidence: float,
        assumed: Assumed | None = None,
    ) -> None:
        self._holdout = holdout
        self._production = production
        self._confidence = confidence
        self._assumed = assumed or Assumed()

    def bound(self, aim: Aim) -> Planned:
        """How far from its bound a metric must lie to be told from it."""
        line, metric = float(aim.bound or 0), aim.measure.metric
        hypothesis = f"{metric} is {'at most' if aim.measure.loss else 'at least'} {line:g}"
        units, unit = self._units(aim, slice(None))
        expected = self._alone(aim, line)
        detectable = self._detectable(expected)
        told = (
            f"nothing can be said of what it would show ({expected.why})"
            if detectable is None
            else f"one that is {show(detectable)} on the right side passes nine times in ten ({expected.why})"
        )
        return Planned(
            check="bound",
            subject="overall",
            hypothesis=hypothesis,
            sentence=f"overall: {hypothesis}, on {units:,} {unit}: {told}.",
            n=units,
            unit=unit,
            detectable=detectable,
        )

    def no_worse(self, aim: Aim, subject: str, margin: float, baseline: str, rows: Rows) -> Planned:
        """How large a loss a comparison with production will find or rule out."""
        metric = aim.measure.metric
        hypothesis = (
            f"{metric} is no more than {margin:g} worse than {baseline}'s"
            if margin > 0
            else f"{metric} is not significantly worse than {baseline}'s"
        )
        units, unit = self._units(aim, rows)
        try:
            expected = self._difference(aim, rows)
        except InvalidInput as error:
            expected = Expected(None, error.message)
        detectable = self._detectable(expected)
        if detectable is None:
            told = f"what it will show can't be said ({expected.why})"
        else:
            told = f"a loss of {show(detectable)} is found, or ruled out, nine times in ten ({expected.why})"
            if margin > 0 and detectable > margin:
                told += f"; the margin of {margin:g} is smaller, and most candidates will be held"
        return Planned(
            check="no_worse",
            subject=subject,
            hypothesis=hypothesis,
            sentence=f"{subject}: {hypothesis}, on {units:,} {unit}: {told}.",
            n=units,
            unit=unit,
            detectable=detectable,
            enough=None if detectable is None or margin == 0 else detectable <= margin,
        )

    def _detectable(self, expected: Expected) -> float | None:
        """The effect that is found nine times in ten; None where that isn't known."""
        from scipy.special import ndtri, stdtrit

        if expected.se is None:
            return None
        bound = max(reaches(1 - self._confidence, expected.df, expected.tilt))
        power = float(ndtri(POWER) if math.isinf(expected.df) else stdtrit(expected.df, POWER))
        return (bound + power) * expected.se

    def _known(self, se: float, why: str, found: Estimate) -> Expected:
        """An error that rests on production's, which few clusters may tell nothing of."""
        if self._holdout.clusters is None:
            return Expected(se, why)
        few = too_few(found.clusters, found.df, self._holdout.unit)
        if few:
            return Expected(None, f"{found.clusters:,} {self._holdout.unit} {few}")
        return Expected(se, why, found.df, Tilt(0.0, found.tilt.error))

    def _units(self, aim: Aim, rows: Rows) -> tuple[int, str]:
        """How many units there are, and what they are called."""
        labels, clusters = np.asarray(self._holdout.labels)[rows], self._holdout.clusters
        if clusters is not None:
            unit = "queries" if aim.measure.metric == "ndcg" else self._holdout.unit
            return len(np.unique(np.asarray(clusters)[rows])), unit
        if aim.measure.metric in {"recall", "specificity"}:
            true = aim.measure.metric == "recall"
            return int((labels == true).sum()), "true rows" if true else "false rows"
        return len(labels), self._holdout.unit

    def _difference(self, aim: Aim, rows: Rows) -> Expected:
        how, assumed = aim.measure, self._assumed
        theirs = self._scored(aim)
        if how.proportion or how.metric == "balanced_accuracy":
            return self._differing(aim, theirs, rows)
        alike = math.sqrt(2 * (1 - assumed.correlation))
        if theirs is not None:
            found = estimated(how, theirs.at(rows), 0.9)
            why = f"if the two models' errors correlate by {assumed.correlation:g}"
            return self._known(alike * found.se, f"{why}, from production's own error", found)
        if how.metric != "roc_auc":
            return Expected(None, "no model has been scored on these rows")
        positive, negative = self._classes(rows)
        return Expected(
            alike * hanley_mcneil(assumed.auc, positive, negative),
            f"at an AUC of {assumed.auc:g}, if the two models' errors correlate by {assumed.correlation:g}",
        )

    def _differing(self, aim: Aim, theirs: Scored | None, rows: Rows) -> Expected:
        share, metric = self._assumed.differing, aim.measure.metric
        if metric == "balanced_accuracy":
            positive, negative = self._classes(rows)
            se = math.sqrt(share / positive + share / negative) / 2
        else:
            labels = np.asarray(self._holdout.labels)[rows]
            n = (
                int((labels == (metric == "recall")).sum())
                if metric in {"recall", "specificity"}
                else len(labels)
            )
            if not n:
                raise InvalidInput("no row has the label that the metric is about")
            se = math.sqrt(share / n)
        why = f"if the two models decide {percent(share)} of rows differently"
        if self._holdout.clusters is None:
            return Expected(se, why)
        if theirs is None:
            return Expected(se, f"{why}, and at least that, because rows stand or fall together")
        part = theirs.at(rows)
        clustered = estimated(aim.measure, part, 0.9)
        alone = estimated(aim.measure, part._replace(codes=None), 0.9).se
        effect = clustered.se / alone if alone else 1.0
        return self._known(se * effect, f"{why}, clustered like production's errors", clustered)

    def _alone(self, aim: Aim, line: float) -> Expected:
        how, everything = aim.measure, slice(None)
        theirs = self._scored(aim)
        if theirs is not None:
            found = estimated(how, theirs, 0.9)
            return self._known(found.se, "with production's own error", found)
        if how.proportion and 0 < line < 1:
            n, _ = self._units(aim, everything)
            return Expected(math.sqrt(line * (1 - line) / n) if n else None, "by the binomial")
        if how.metric == "roc_auc" and 0 < line < 1:
            return Expected(hanley_mcneil(line, *self._classes(everything)), "by Hanley and McNeil")
        return Expected(None, "no model has been scored on these rows")

    def _classes(self, rows: Rows) -> tuple[int, int]:
        labels = np.asarray(self._holdout.labels)[rows]
        positive = int((labels == 1).sum())
        if positive in {0, len(labels)}:
            raise InvalidInput(f"all {len(labels):,} labels are {int(positive > 0)}")
        return positive, len(labels) - positive

    def _scored(self, aim: Aim) -> Scored | None:
        if self._production is None:
            return None
        return scored(aim.measure, self._holdout.labels, self._production, None, self._holdout.clusters)


def plan(
    aims: Sequence[Aim],
    groups: Sequence[tuple[str, Rows]],
    planning: Planning,
    baseline: str | None,
) -> Iterator[Planned]:
    """Everything that will be tested.

    Args:
        aims: The metrics.
        groups: The groups that are large enough, and the places of their rows.
        planning: Knows the rows.
        baseline: What is in production; None when nothing is.
    """
    for aim in aims:
        if aim.bound is not None:
            yield planning.bound(aim)
    if baseline is None:
        return
    for aim in aims:
        yield planning.no_worse(aim, "overall", aim.margin, baseline, slice(None))
        for name, rows in groups:
            yield planning.no_worse(aim, name, aim.group_margin, baseline, rows)
