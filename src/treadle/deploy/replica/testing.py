"""Requests of a load test: answered like any other, and neither written down nor counted."""

from __future__ import annotations

from msgspec.structs import replace

from treadle.deploy.replica.reply import Header, Scope
from treadle.deploy.replica.served import Desk, Served
from treadle.deploy.replica.stats import Stats

TEST_HEADER = b"x-treadle-test"

_KEPT = 4


def is_test(scope: Scope) -> bool:
    """Whether a request belongs to a load test."""
    return has_test(scope["headers"])


def has_test(headers: list[Header]) -> bool:
    """Whether one of a request's headers, in lower case, says that it belongs to a load test."""
    return any(name == TEST_HEADER for name, _ in headers)


class Twins:
    """Models as load tests ask them: the same model and what is learnt of it, at a desk without a journal.

    Each has one twin, so that what is asked of it together is predicted together.
    """

    def __init__(self) -> None:
        self._known: list[tuple[Served, Served]] = []

    def of(self, model: Served) -> Served:
        """A model's twin."""
        for known, twin in self._known:
            if known is model:
                return twin
        twin = replace(model, desk=Desk(model.desk.model, Stats(), None))
        self._known = [(model, twin), *self._known[: _KEPT - 1]]
        return twin
