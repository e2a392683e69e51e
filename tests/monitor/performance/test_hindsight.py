"""A past window as it was known at a moment: labels late, corrected twice, out of order, doubled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from treadle.kernel.clock import ManualClock, SystemClock
from treadle.kernel.errors import InvalidInput
from treadle.kernel.workspace import Workspace
from treadle.monitor import Hindsight, Hindsights, LabelBatch, Monitors, PredictionBatch, PredictionLog
from treadle.monitor import log as log_module

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY, WEEK = timedelta(days=1), timedelta(days=7)
LONG = 100 * DAY


class Told:
    """A week of predictions, and labels told as a test likes; knows by itself what is known when.

    The answer that is expected is made of a list of (id, value, known_at, order of telling), not of the log.
    """

    def __init__(self, world: Any) -> None:
        self.world = world
        self.log = PredictionLog(world.workspace)
        world.register()
        self.predictions, self.truth = world.traffic(0, 150, days=7)
        self.log.append("toy", self.predictions)
        self.said: list[tuple[str, float, datetime]] = []
        self.batches = 0

    def tell(self, labels: list[tuple[int, float, datetime]]) -> None:
        ids = [self.predictions.ids[i] for i, _, _ in labels]
        self.batches += 1
        batch = LabelBatch(
            batch=f"told{self.batches}",
            ids=ids,
            values=[value for _, value, _ in labels],
            known_at=[known.timestamp() for _, _, known in labels],
        )
        self.log.append_labels("toy", batch)
        self.said += [(key, value, known) for key, (_, value, known) in zip(ids, labels, strict=True)]

    def expected(self, as_of: datetime) -> tuple[float, int]:
        """The AUC of what was known, by the definition: of a prediction's labels the last known holds."""
        last: dict[str, tuple[datetime, int, float]] = {}
        for order, (key, value, known) in enumerate(self.said):
            if known <= as_of:
                last[key] = max(last.get(key, (START, -1, 0.0)), (known, order, value))
        scores = dict(zip(self.predictions.ids, self.predictions.outputs, strict=True))
        keys = sorted(last)
        return roc_auc_score([last[key][2] for key in keys], [scores[key] for key in keys]), len(keys)

    def as_of(self, moment: datetime, **how: Any) -> Hindsight:
        (found,) = Hindsights(self.world.workspace).performance("toy", moment, **how)
        return found


@pytest.fixture
def told(world: Any) -> Iterator[Told]:
    """Every figure is told, however many labels are still to come."""
    root = world.workspace.root
    config = root / "treadle.toml"
    config.write_text(config.read_text() + "\n[monitor]\nmature = 0\n")
    workspace = Workspace.open(root, clock=ManualClock(START - DAY))
    yield Told(type(world)(workspace))
    workspace.close()


def test_what_was_known_when(told: Told) -> None:
    rng = np.random.default_rng(5)
    truth, n = told.truth.values, len(told.truth.values)
    by_end = [(i, truth[i], START + 6 * DAY) for i in range(0, n, 2)]
    told.tell(by_end)
    Monitors(told.world.workspace).evaluate("toy", START + WEEK)
    wrong = rng.choice(range(0, n, 2), 200, replace=False).tolist()
    # The second correction is handed in before the first; the first says no, the second yes again.
    told.tell([(i, truth[i], START + 30 * DAY) for i in wrong[:100]])
    told.tell([(i, 1 - truth[i], START + 20 * DAY) for i in wrong])
    told.tell([(i, truth[i], START + 9 * DAY) for i in range(1, n, 2)])  # the rest comes late
    told.tell(by_end)  # and what was told at first is told again, in another batch
    seen = {}
    for day, came, corrected in ((7, 0, 0), (8, 0, 0), (9, n // 2, 0), (20, n // 2, 200), (30, n // 2, 100)):
        found = told.as_of(START + day * DAY)
        auc, labels = told.expected(START + day * DAY)
        assert found.now.value == pytest.approx(auc, abs=1e-12), day
        assert (found.now.n, found.came, found.corrected) == (labels, came, corrected), day
        assert (found.as_of, found.now.until) == (START + day * DAY, START + WEEK)
        seen[day] = found
    assert seen[7].then == seen[30].then
    assert seen[7].then is not None
    assert seen[7].now.value == pytest.approx(seen[7].then.value, abs=1e-12)
    assert len({seen[day].now.value for day in (7, 9, 20, 30)}) == 4
    # What is known does not change what was found.
    assert Monitors(told.world.workspace).backfill("toy", START, "me").changed == ()


def test_of_two_labels_known_at_one_moment_the_one_handed_in_later_holds(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(10))
    monkeypatch.setattr(log_module, "_now", lambda: np.int64((START + next(now) * DAY).timestamp() * 1e6))
    truth, n = told.truth.values, len(told.truth.values)
    told.tell([(i, 1 - truth[i], START + DAY) for i in range(n)])
    told.tell([(i, truth[i], START + DAY) for i in range(n)])
    Monitors(told.world.workspace).evaluate("toy", START + WEEK)
    assert told.as_of(START + WEEK).now.value == pytest.approx(told.expected(START + WEEK)[0], abs=1e-12)
    assert told.as_of(START + WEEK).now.value > 0.6


def test_known_and_handed_in_are_two_times(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A correction that was known on day 8 is handed in on day 40, by clocks that don't agree."""
    truth, n = told.truth.values, len(told.truth.values)
    at = {"day": 6.5}
    monkeypatch.setattr(log_module, "_now", lambda: np.int64((START + at["day"] * DAY).timestamp() * 1e6))
    told.log.append("toy", again(told.predictions))  # written down on day 6; the first copies by the machine
    # The sender's clock is half a day ahead: known on day 7, handed in on day 6.
    told.tell([(i, truth[i], START + 7 * DAY - timedelta(seconds=1)) for i in range(n)])
    before = told.expected(START + 100 * DAY)
    at["day"] = 40.0
    told.tell([(i, 1 - truth[i], START + 8 * DAY) for i in range(300)])
    after = told.expected(START + 100 * DAY)
    Monitors(told.world.workspace).evaluate("toy", START + WEEK)
    known = told.as_of(START + 10 * DAY)
    assert (known.now.value, known.corrected) == (pytest.approx(after[0], abs=1e-12), 300)
    handed_in = told.as_of(START + 10 * DAY, recorded_by=START + 39 * DAY)
    assert (handed_in.now.value, handed_in.corrected) == (pytest.approx(before[0], abs=1e-12), 0)
    assert told.as_of(START + 10 * DAY, recorded_by=START + 4 * DAY).now.n == 0


def again(batch: PredictionBatch) -> PredictionBatch:
    return msgspec.structs.replace(batch, batch="again")


def test_windows_since_a_moment_and_none_before_the_first(told: Told) -> None:
    look = Hindsights(told.world.workspace)
    assert look.performance("toy", START + LONG) == []
    Monitors(told.world.workspace).evaluate("toy", START + 2 * WEEK)
    assert look.performance("toy", START + WEEK - DAY) == []
    ends = [one.now.until for one in look.performance("toy", START + LONG, START)]
    assert ends == [START + WEEK, START + 2 * WEEK]
    assert [one.now.until for one in look.performance("toy", START + LONG)] == ends[-1:]
    assert [one.now.until for one in look.performance("toy", START + WEEK)] == ends[:1]


def test_a_figure_waits_for_the_labels_that_come_after_the_moment(world: Any) -> None:
    """By day 8 a third of the labels is there, by day 60 all are."""
    told = Told(world)
    truth, n = told.truth.values, len(told.truth.values)
    told.tell([(i, truth[i], START + (7.5 if i % 3 == 0 else 50) * DAY) for i in range(n)])
    Monitors(told.world.workspace).evaluate("toy", START + WEEK)
    assert told.as_of(START + 60 * DAY).now.value == pytest.approx(told.expected(START + 60 * DAY)[0])
    early = told.as_of(START + 8 * DAY)
    assert (early.now.n, early.now.value, early.now.state) == (len(range(0, n, 3)), None, "inconclusive")
    assert "of the labels to come are there" in early.now.sentence


def test_rows_that_are_gone_cannot_be_looked_back_at(project: Path, world: Any) -> None:
    config = project / "treadle.toml"
    config.write_text(config.read_text() + '\n[monitor]\nperformance_window = "7d"\n')
    workspace = Workspace.open(project, clock=ManualClock(START - DAY))
    here = type(world)(workspace)
    here.register()
    log = PredictionLog(workspace)
    predictions, labels = here.traffic(0, 100, days=21)
    log.append("toy", predictions)
    log.append_labels("toy", labels)
    Monitors(workspace).evaluate("toy", START + 3 * WEEK)
    log.expire("toy", (START + WEEK).date(), "me")
    with pytest.raises(InvalidInput, match="the log begins on 2026-01-08"):
        Hindsights(workspace).performance("toy", SystemClock().now(), START)
    assert len(Hindsights(workspace).performance("toy", START + 3 * WEEK, START + 2 * WEEK)) == 1
    workspace.close()
