"""How good rankings are, query by query."""

from __future__ import annotations

import numpy as np

from treadle.evaluate.models.measures import Floats, Integers
from treadle.kernel.errors import InvalidInput


def by_query(relevance: Floats, scores: Floats, queries: Integers, k: int) -> Floats:
    """The normalised discounted cumulative gain of each query's first ``k``.

    The gain is the relevance, the discount ``1 / log2(1 + place)`` (Järvelin & Kekäläinen, ACM TOIS
    20, 2002); rows with equal scores share their places (McSherry & Najork, ECIR 2008). A query
    without anything relevant has none: it is NaN.

    Args:
        relevance: Of each row, at least 0.
        scores: Of each row; larger comes first.
        queries: The query of each row, numbered from 0.
        k: How many places count.
    """
    gained, best = _gains(relevance, scores, queries, k), _gains(relevance, relevance, queries, k)
    with np.errstate(invalid="ignore"):
        found: Floats = np.where(best > 0, gained / best, np.nan)
    return found


def defined(values: Floats) -> Floats:
    """Those of the queries that have something relevant.

    Raises:
        InvalidInput: If there is none.
    """
    found = values[~np.isnan(values)]
    if not len(found):
        raise InvalidInput("no query has anything relevant, so that nothing can be ranked well or badly")
    return found


def _gains(relevance: Floats, scores: Floats, queries: Integers, k: int) -> Floats:
    order = np.lexsort((-scores, queries))
    query, score = queries[order], scores[order]
    count = int(queries.max()) + 1
    starts = np.searchsorted(query, np.arange(count))
    place = np.arange(len(query)) - starts[query]
    discount = np.where(place < k, 1 / np.log2(place + 2), 0.0)
    # Rows of one query with one score: each gets the mean discount of their places.
    new = np.ones(len(query), dtype=bool)
    new[1:] = (query[1:] != query[:-1]) | (score[1:] != score[:-1])
    tie = np.cumsum(new) - 1
    shared = np.bincount(tie, discount) / np.bincount(tie)
    return np.bincount(query, relevance[order] * shared[tie], minlength=count).astype(np.float64)
