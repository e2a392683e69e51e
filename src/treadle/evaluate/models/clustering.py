"""How sure figures are whose rows stand or fall together: by leaving out one cluster at a time.

The usual cluster-robust error takes it that clusters are many and alike in size. With few of unlike sizes
it is too small, and Student's t with one degree of freedom fewer than clusters too sure of it. So here:

- What a cluster contributes is what the figure would change by without it (the jackknife, CV3: MacKinnon,
  Nielsen & Webb, Journal of Applied Econometrics 38, 2023; never too small on average: Hansen,
  'Jackknife standard errors for clustered regression', 2025). The large clusters, which pull the figure
  towards themselves and so look closer to it than they are, count for more by that.
- Degrees of freedom are Satterthwaite's for that sum of squares if rows were alike (as Bell & McCaffrey,
  Survey Methodology 28, 2002, do for CR2): as many as clusters of equal size that would say as much.

Clusters of equal size get the usual error and one degree of freedom fewer than there are. Where what they
contribute is skewed, bounds move outwards: :mod:`treadle.evaluate.skewness`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from treadle.evaluate.models.measures import Floats, Integers
from treadle.evaluate.skewness import NONE, Sample, Tilt, tilt

MIN_CLUSTERS = 5
"""With fewer, a cluster-robust error is no estimate of anything."""

MIN_WORTH = 2.0
"""With fewer degrees of freedom (three clusters of equal size), one cluster decides nearly alone."""


class Averaged(NamedTuple):
    """A figure that is averaged over some of the rows, or a part of one.

    Attributes:
        deviations: What each row contributes to what the figure deviates by; 0 for rows not among them.
        weights: Each row's share of what the figure is taken of; in sum 1, 0 for rows not among them.
        counts: How many rows alike each entry stands for, at least 1; one each when None.
    """

    deviations: Floats
    weights: Floats
    counts: Floats | None = None


class Spread(NamedTuple):
    """How far a figure would lie from the truth.

    Attributes:
        left_out: Of each cluster, what the figure changes by without it, scaled so that the sum of
            squares is the variance.
        df: Degrees of freedom of that variance.
        sizes: How many clusters have rows of each part.
        tilt: How skewed what clusters contribute is.
        expected: The variance that is expected of each, from its size; None where all are alike.
    """

    left_out: Floats
    df: float
    sizes: tuple[int, ...]
    tilt: Tilt = NONE
    expected: Floats | None = None

    @property
    def variance(self) -> float:
        """The square of the standard error."""
        return squared(self.left_out)


def spread(parts: Sequence[Averaged], codes: Integers) -> Spread:
    """How sure a sum of averages over rows in clusters is.

    Args:
        parts: What is summed up: one average, or several whose rows may lie in the same clusters, such
            as the rates of two groups.
        codes: The number of each row's cluster, from 0.

    Returns:
        Its spread; with fewer than two clusters in a part, nothing is known of it and the sizes say so.
    """
    clusters = int(codes.max()) + 1
    total, own, dfs, sizes, expected = np.zeros(clusters), [], [], [], []
    for part in parts:
        shares: Floats = np.bincount(codes, part.weights, minlength=clusters).astype(np.float64)
        there = shares > 0
        size = int(there.sum())
        sizes.append(size)
        if size < 2:
            continue
        sums: Floats = np.bincount(codes, part.deviations, minlength=clusters).astype(np.float64)
        left_out = np.where(there, sums / np.where(there, 1 - shares, 1.0), 0.0)
        left_out *= np.sqrt((size - 1) / size)
        total += left_out
        own.append(squared(left_out))
        dfs.append(worth(shares[there]))
        expected.append(_expected(part, codes, shares, sums, left_out))
    if not expected:
        return Spread(total, satterthwaite(own, dfs), tuple(sizes))
    whole = np.sum(expected, axis=0)
    return Spread(total, satterthwaite(own, dfs), tuple(sizes), _tilt(total, expected), whole)


def _expected(part: Averaged, codes: Integers, shares: Floats, sums: Floats, left_out: Floats) -> Floats:
    """The variance that is expected of what each cluster contributes, from its size.

    What a cluster's rows share counts with the square of its share of them, and what they don't with their
    number; how much is shared is a component of variance, by the analysis of variance.
    """
    there, clusters = shares > 0, len(shares)
    pulled = np.where(there, 1 - shares, 1.0)
    counts = 1.0 if part.counts is None else part.counts
    alone = np.bincount(codes, part.weights**2 / counts, minlength=clusters)
    mean = np.divide(sums, shares, out=np.zeros(clusters), where=there)
    free = float((alone - np.divide(alone, shares, out=np.zeros(clusters), where=there) ** 2).sum())
    whole = squared(part.deviations) if part.counts is None else float((part.deviations**2 / counts).sum())
    inside = max(whole - float((mean**2 * alone).sum()), 0.0)
    noise = alone / pulled**2 * (inside / free if free > 1e-12 else 0.0)
    shared = (shares / pulled) ** 2
    between = max(squared(left_out) - float(noise.sum()), 0.0) / float(shared.sum())
    found: Floats = between * shared + noise
    return found


def _tilt(left_out: Floats, expected: Sequence[Floats]) -> Tilt:
    """How skewed contributions are; clusters that are mostly of one part are a sample of their own."""
    whole = np.sum(expected, axis=0)
    mostly = np.where(whole > 0, np.argmax(expected, axis=0), -1)
    places = [mostly == part for part in range(len(expected))]
    if min(int(place.sum()) for place in places) < MIN_CLUSTERS:
        places = [whole > 0]
    return tilt([Sample(left_out[place], np.sqrt(whole[place])) for place in places if place.any()])


def worth(shares: Floats) -> float:
    """Degrees of freedom of clusters with these shares of the rows: one fewer than there are, if equal.

    Satterthwaite's for the jackknife's sum of squares, where rows are independent and alike: with
    ``r = share / (1 - share)`` it is ``sum(r)^2 / (sum(r^2) + sum(r^2)^2 - sum(r^4))``.
    """
    ratios = shares / (1 - shares)
    squares = float((ratios**2).sum())
    return float(ratios.sum() ** 2 / (squares + squares**2 - (ratios**4).sum()))


def squared(values: Floats) -> float:
    """The sum of squares. Not by BLAS: its threads would cost more than they save."""
    return float(np.einsum("i,i->", values, values))


def satterthwaite(variances: Sequence[float], dfs: Sequence[float]) -> float:
    """Degrees of freedom of a sum of independent variances (Biometrics Bulletin 2, 1946)."""
    below = sum(one**2 / df for one, df in zip(variances, dfs, strict=True))
    return float(sum(variances) ** 2 / below) if below > 0 else float(min(dfs, default=1.0))


def too_few(clusters: int, df: float, unit: str) -> str:
    """Why so few clusters can't tell anything, in words; empty where they can.

    Args:
        clusters: How many there are.
        df: What they are worth.
        unit: What they are called.
    """
    if clusters < MIN_CLUSTERS:
        return f"are too few to tell how sure that is ({MIN_CLUSTERS} are needed)"
    if df < MIN_WORTH:
        return (
            "are too unequal to tell how sure that is: a few have nearly all of the rows "
            f"(three {unit} of equal size are needed at least)"
        )
    return ""
