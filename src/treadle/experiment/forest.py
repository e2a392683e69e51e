"""Regression trees over binned columns, and how their variance divides among the columns. Pure.

Trees are CART (Breiman et al. 1984): each split minimises the squared error, categories are split
by their means (Fisher 1958: the best of all subsets for a squared error). A tree of boxes is a
function whose functional analysis of variance is a finite sum (Hutter, Hoos and Leyton-Brown,
"An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014). Boxes are weighed by
how often values were tried, not by their volume, so that the answer doesn't depend on whether a
column is looked at on a logarithmic scale.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]


class Table(msgspec.Struct, frozen=True):
    """Columns that were cut into bins.

    Attributes:
        bins: For each row and column, the bin; shape (rows, columns).
        weights: For each column and bin, the share of the rows drawn; shape (columns, most bins).
        ordered: Whether a column's bins have an order.
    """

    bins: Ints
    weights: Floats
    ordered: Bools


class Tree(msgspec.Struct, frozen=True):
    """A tree as its leaves.

    Attributes:
        boxes: For each leaf, column and bin, whether the leaf holds it.
        values: Each leaf's prediction.
    """

    boxes: Bools
    values: Floats

    def predict(self, bins: Ints) -> Floats:
        """The predictions for rows."""
        inside = np.ones((len(self.values), len(bins)), np.bool_)
        for column in range(bins.shape[1]):
            inside &= self.boxes[:, column, bins[:, column]]
        found: Floats = self.values[inside.argmax(axis=0)]
        return found


def table(columns: list[tuple[Ints, int, bool]], drawn: Ints) -> Table:
    """Columns as a table.

    Args:
        columns: Of each its bins, how many there are, and whether they have an order.
        drawn: The rows by which bins are weighed; one may stand several times.
    """
    most = max(size for _, size, _ in columns)
    weights = np.array([np.bincount(bins[drawn], minlength=most) / len(drawn) for bins, _, _ in columns])
    bins = np.column_stack([bins for bins, _, _ in columns])
    return Table(bins, weights, np.array([ordered for _, _, ordered in columns]))


def grow(data: Table, rows: Ints, y: Floats, leaf: int, random: np.random.Generator) -> Tree:
    """A tree for some rows, in which a row may stand several times.

    Args:
        data: The columns.
        rows: Which rows.
        y: What is to be predicted, for all rows.
        leaf: The fewest rows of a leaf.
        random: Chooses the two thirds of the columns that a split may use.
    """
    count, most = data.weights.shape
    tried = max(1, round(2 * count / 3))
    boxes, values = [], []
    waiting = [(rows, np.ones((count, most), np.bool_))]
    while waiting:
        here, box = waiting.pop()
        found = _split(data, here, y[here], leaf, random.permutation(count)[:tried])
        if found is None:
            boxes.append(box)
            values.append(float(y[here].mean()))
            continue
        column, left = found
        goes = left[data.bins[here, column]]
        for side, mask in ((here[goes], left), (here[~goes], ~left)):
            part = box.copy()
            part[column] &= mask
            waiting.append((side, part))
    return Tree(np.array(boxes), np.array(values))


def _split(data: Table, rows: Ints, y: Floats, leaf: int, tried: Ints) -> tuple[int, Bools] | None:
    """The best split of rows: its column, and which bins go to the left; None if none is any good."""
    if len(rows) < 2 * leaf or np.ptp(y) == 0:
        return None
    most = data.weights.shape[1]
    y = y - y.mean()
    flat = (data.bins[rows][:, tried] + np.arange(len(tried)) * most).ravel()
    size = len(tried) * most
    counts = np.bincount(flat, minlength=size).reshape(-1, most).astype(np.float64)
    sums = np.bincount(flat, weights=np.repeat(y, len(tried)), minlength=size).reshape(-1, most)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    order = np.where(data.ordered[tried][:, None], np.arange(most), means.argsort(axis=1, kind="stable"))
    n = np.take_along_axis(counts, order, 1).cumsum(axis=1)
    s = np.take_along_axis(sums, order, 1).cumsum(axis=1)
    rest = len(rows) - n
    allowed = (n >= leaf) & (rest >= leaf)
    gain = np.where(allowed, s**2 / np.maximum(n, 1) + s**2 / np.maximum(rest, 1), 0.0)
    place = int(gain.argmax())
    column, cut = divmod(place, most)
    best = gain[column, cut]
    if best <= 1e-12 * float(y @ y):
        return None
    # Between two values that occur here any cut is as good; the middle one it is.
    level = np.flatnonzero(gain[column] >= best * (1 - 1e-12))
    same = level[n[column][level] == n[column][cut]]
    cut = int(same[len(same) // 2])
    left = np.zeros(most, np.bool_)
    left[order[column, : cut + 1]] = True
    return int(tried[column]), left


def effects(tree: Tree, weights: Floats) -> tuple[Floats, Floats, float]:
    """How a tree's variance divides among the columns, taken as independent of each other.

    Returns:
        For each column the part of the variance that it makes alone (the first-order effect,
        Sobol 1993), the part that would go if it were averaged out (the total effect, Homma and
        Saltelli 1996), and the whole variance.
    """
    held = tree.boxes * weights
    shares = held.sum(axis=2)  # (leaves, columns)
    overlaps = np.einsum("lcb,mcb->clm", held, tree.boxes.astype(np.float64), optimize=True)
    volume = shares.prod(axis=1)
    mean = float(tree.values @ volume)
    centred = tree.values - mean
    whole = float(centred**2 @ volume)
    count = weights.shape[0]
    alone, total = np.zeros(count), np.zeros(count)
    before = np.ones((count + 1, *overlaps.shape[1:]))
    after = np.ones_like(before)
    for column in range(count):
        before[column + 1] = before[column] * overlaps[column]
        after[column + 1] = after[column] * overlaps[count - 1 - column]
    for column in range(count):
        share = shares[:, column]
        q = centred * np.divide(volume, share, out=np.zeros_like(volume), where=share > 0)
        alone[column] = q @ overlaps[column] @ q
        others = before[column] * after[count - 1 - column]
        r = centred * share
        total[column] = whole - r @ others @ r
    return np.clip(alone, 0, whole), np.clip(total, 0, whole), whole
