"""Keys: no value of a column, or of several together, appears twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from treadle.evaluate.data.part import Asks, Facts, Finding, Part, Sizes, say, sure
from treadle.evaluate.data.suite import WHERE, Suite
from treadle.evaluate.data.telling import tell
from treadle.evaluate.types import Planned
from treadle.kernel.errors import InvalidInput
from treadle.kernel.scan.asks import FindRepeats
from treadle.kernel.scan.columns import Columns


class Unique(Part):
    """No value of a column, or of several together, appears twice."""

    def __init__(self, suite: Suite, columns: Columns) -> None:
        named = [(one,) if isinstance(one, str) else tuple(one) for one in suite.checks.unique]
        for names in named:
            if len(set(names)) < len(names):
                raise InvalidInput(f"the key {list(names)} names a column twice", where=f"{WHERE} unique")
        self._keys = [names for names in named if all(name in columns for name in names)]

    def asks(self) -> Asks:
        """What repeats."""
        return map(FindRepeats, self._keys)

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """A verdict for each key."""
        for names in self._keys:
            found, subject = facts.found[FindRepeats(names)], key_of(names)
            if found.keys:
                many = f"{found.keys:,} value{'s appear' if found.keys > 1 else ' appears'}"
                shown = tell(found.example or ())
                sentence = f"{subject}: {many} more than once, such as {shown}."
                yield say("unique", subject, "fail", sentence, n=facts.rows)
            else:
                yield say("unique", subject, "pass", f"{subject}: no value appears twice.", n=facts.rows)

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """Each key."""
        for names in self._keys:
            yield sure("unique", key_of(names), f"no value of {key_of(names)} appears twice", sizes)


def key_of(names: Sequence[str]) -> str:
    """A key's name."""
    return names[0] if len(names) == 1 else f"({', '.join(names)})"
