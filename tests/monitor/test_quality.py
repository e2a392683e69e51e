"""The quality of live inputs: exact chances, and drift that it explains."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from scipy import stats

from treadle.kernel.config import ColumnConfig, MonitorConfig, QualityConfig
from treadle.monitor import CategoryProfile, NumericProfile
from treadle.monitor.drift import input_result
from treadle.monitor.findings import Window
from treadle.monitor.quality import Check, explain, quality_results, settle

UNTIL = datetime(2026, 1, 8, tzinfo=UTC)
WINDOW = Window(model="toy", version=1, since=UNTIL - timedelta(days=7), until=UNTIL)
NUMBER = NumericProfile(
    [float(i) for i in range(1, 10)], [1000] * 10, 0, low=0.0, high=10.0,
    centres=[None, *(i + 0.5 for i in range(10)), None],
)  # fmt: skip
TEXT = CategoryProfile({"a": 8000, "b": 2000}, 0, 0, 2)
CONFIG = MonitorConfig()


def number(**changes: object) -> NumericProfile:
    return msgspec.structs.replace(NUMBER, **{"counts": [100] * 10, **changes})  # type: ignore[arg-type]


def found(now: NumericProfile | CategoryProfile, config: MonitorConfig = CONFIG):
    then = NUMBER if isinstance(now, NumericProfile) else TEXT
    return quality_results(WINDOW, {"x": then}, [now], config)


def test_all_is_well_is_said_once() -> None:
    calm = quality_results(WINDOW, {"x": NUMBER, "c": TEXT}, [number(), TEXT], CONFIG)
    assert [(r.subject, r.state, r.value) for r in calm] == [("inputs", "ok", 0.0)]
    assert calm[0].sentence == "inputs: 4 checks are well, in 10,000 rows"


@pytest.mark.parametrize(
    ("now", "statistic", "share"),
    [
        (number(nulls=100), "nulls", 100 / 1100),
        (number(below=30, above=20), "outside", 50 / 1050),
        (CategoryProfile({"a": 800, "b": 150}, 50, 0, 2), "unseen", 0.05),
    ],
)
def test_each_trouble_is_found(now: NumericProfile | CategoryProfile, statistic: str, share: float) -> None:
    [one] = found(now)
    assert (one.kind, one.subject, one.state, one.statistic) == ("quality", "x", "alert", statistic)
    assert one.value == pytest.approx(share)
    assert f"{100 * share:.3g} % of " in one.sentence
    assert one.sentence.endswith("up to 1 % is allowed")
    assert (
        found(now, MonitorConfig(quality=QualityConfig(nulls=0.2, outside=0.2, unseen=0.2)))[0].state == "ok"
    )
    own = {"x": ColumnConfig(nulls=0.2, outside=0.2, unseen=0.2)}
    assert found(now, MonitorConfig(columns=own))[0].state == "ok"


def test_what_training_had_as_well_is_no_trouble() -> None:
    then = msgspec.structs.replace(NUMBER, nulls=2000)
    now = number(nulls=205)
    assert quality_results(WINDOW, {"x": then}, [now], CONFIG)[0].state == "ok"
    many = msgspec.structs.replace(TEXT, other=5)  # more texts than are named: what is new can't be told
    assert (
        quality_results(WINDOW, {"c": many}, [msgspec.structs.replace(TEXT, other=900)], CONFIG)[0].state
        == "ok"
    )
    old = msgspec.structs.replace(NUMBER, low=None, high=None)
    assert quality_results(WINDOW, {"x": old}, [number(below=900)], CONFIG)[0].state == "ok"


def test_few_rows_and_none_are_inconclusive() -> None:
    few = number(counts=[5] * 10, nulls=9)
    assert [(r.subject, r.state, r.value) for r in found(few)] == [("inputs", "inconclusive", None)]
    assert found(few)[0].sentence.startswith("inputs: 59 rows are too few to tell (")
    assert found(number(counts=[0] * 10))[0].state == "inconclusive"


def test_the_chance_is_fishers_and_never_smaller() -> None:
    for then, now, m, n in [
        (40, 12, 9000, 700),
        (0, 3, 20_000, 1000),
        (500, 700, 1000, 1100),
        (3, 0, 50, 50),
    ]:
        ours = Check("x", "nulls", then, now, m, n, 0.0).p_value
        exact = stats.fisher_exact([[now, n - now], [then, m - then]], alternative="greater").pvalue
        assert ours >= exact * (1 - 1e-9)
        if then + now < m / 50:
            assert ours == pytest.approx(exact, rel=0.25)


def test_more_than_is_allowed_must_be_sure() -> None:
    """Of 1,344 rows 14 are over one in a hundred, and chance alone; 40 aren't."""
    for now in (14, 27, 40):
        ours = Check("x", "outside", 0, now, 34_000, 1344, 0.01).p_value
        assert ours == pytest.approx(stats.binomtest(now, 1344, 0.01, alternative="greater").pvalue)
    alpha, rng = 0.01, np.random.default_rng(3)
    alarms = 0
    for now in rng.binomial(1344, 0.01, 4000):
        check = Check("x", "nulls", 0, int(now), 34_000, 1344, 0.01)
        alarms += check.share > check.limit and check.p_value <= alpha
    assert alarms <= 4000 * alpha


def test_values_beyond_the_reference_are_expected_now_and_then() -> None:
    rng, alpha, runs = np.random.default_rng(1), 0.01, 6000
    alarms = 0
    for _ in range(runs):
        then, now = rng.random(500), rng.random(500)
        outside = int(((now < then.min()) | (now > then.max())).sum())
        alarms += Check("x", "outside", 0, outside, 500, 500, 0.0).p_value <= alpha
    # The count is whole, so the level is met from below.
    assert runs * alpha / 4 <= alarms <= runs * alpha + 3 * math.sqrt(runs * alpha)


def test_drift_that_trouble_explains_is_told_and_other_drift_is_not() -> None:
    def judged(now: NumericProfile):
        drifted = input_result(WINDOW, "x", NUMBER, now, 1, CONFIG)
        assert drifted.state == "alert"
        return explain(WINDOW, drifted, NUMBER, now, 1, CONFIG, found(now))

    explained = judged(number(nulls=400))
    assert explained.explained_by == "quality:x:nulls"
    assert explained.sentence.endswith(
        "the quality of the data explains it (missing in 28.6 % of 1,400 rows; up to 1 % is allowed): "
        "without those rows PSI is 0.000"
    )
    both = judged(number(nulls=200, above=200))
    assert both.explained_by == "quality:x:nulls and quality:x:outside"
    gone = judged(number(counts=[0] * 10, nulls=900))
    assert gone.explained_by == "quality:x:nulls"
    assert gone.sentence.endswith("without those rows 0 are left, too few to tell")
    real = judged(number(counts=[300, 300, 50, 50, 50, 50, 50, 50, 50, 50], nulls=200))
    assert (real.state, real.explained_by) == ("alert", "")


def test_a_tail_out_of_range_is_told_with_the_drift_that_it_belongs_to() -> None:
    now = number(counts=[0, 0, 0, 0, 0, 0, 200, 300, 300, 200], above=100, nulls=100)
    troubles = found(now)
    assert {one.statistic for one in troubles} == {"nulls", "outside"}
    drifted = explain(
        WINDOW, input_result(WINDOW, "x", NUMBER, now, 1, CONFIG), NUMBER, now, 1, CONFIG, troubles
    )
    assert drifted.explained_by == ""
    settled = {one.statistic: one for one in settle(troubles, [drifted])}
    assert (settled["outside"].explained_by, settled["nulls"].explained_by) == ("input:x", "")
    assert settled["outside"].sentence.endswith("; the column has drifted as a whole")
