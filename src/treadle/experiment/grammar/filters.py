"""Filters into comparisons: five grammars of one shape, ``field operator value`` joined by AND.

What MLflow's SQL store accepts is accepted and means the same, its slips included where they
do no harm: an AND too many, or none between two comparisons. Accepted besides: operators in
lower case, any white space within ``IS NOT NULL``, attributes and prefixes in quotes, unquoted
keys that begin with a digit, ``1e+5``. Refused, where MLflow guesses or fails inside: a key that
is empty or quoted only in part, a list that is empty or nested or stands after ``=``, an integer
of more than 64 bits, NaN. In a logged model's filter double quotes only quote, where MLflow takes
them for a part of the key or the value and finds nothing.
"""

from __future__ import annotations

from treadle.experiment.grammar import fields
from treadle.experiment.grammar.parser import read
from treadle.experiment.grammar.types import Comparison


def parse_run_filter(text: str) -> tuple[Comparison, ...]:
    """The comparisons of a filter of runs; none if it is empty.

    Raises:
        InvalidInput: If it isn't one, saying what, where and what would be.
    """
    return read(text, fields.RUNS)


def parse_listed_filter(text: str) -> tuple[Comparison, ...]:
    """The same for lists of our own, where a parameter may be compared with a number, as a number."""
    return read(text, fields.LISTED_RUNS)


def parse_experiment_filter(text: str) -> tuple[Comparison, ...]:
    """The same for experiments. An ``experiment_id`` is text that holds an integer."""
    return read(text, fields.EXPERIMENTS)


def parse_model_filter(text: str) -> tuple[Comparison, ...]:
    """The same for registered models."""
    return read(text, fields.MODELS)


def parse_version_filter(text: str) -> tuple[Comparison, ...]:
    """The same for model versions. A ``version_number`` is an int, quoted or not."""
    return read(text, fields.VERSIONS)


def parse_logged_model_filter(text: str) -> tuple[Comparison, ...]:
    """The same for logged models, whose grammar alone takes text without quotes."""
    return read(text, fields.LOGGED_MODELS)
