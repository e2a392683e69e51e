from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from treadle.govern import Spending, rules

START = datetime(2026, 1, 1, tzinfo=UTC)
USED = st.lists(st.tuples(st.integers(0, 29), st.integers(1, 100)), min_size=1).map(
    lambda pairs: sorted((START + timedelta(days=day), float(cpu)) for day, cpu in pairs)
)


def spent(used, now):
    return sum(cpu for at, cpu in used if now - rules.MONTH < at)


@given(USED, st.integers(1, 200), st.none() | st.integers(1, 300))
def test_free_at_is_the_first_moment_at_which_it_fits(used, limit, estimate):
    """Against a walk through every day of the month that follows."""
    last = START + timedelta(days=29)

    def fits(day):
        left = Spending(cpu_seconds=spent(used, day), limit=float(limit), cycles=0)
        return not rules.exceeded(left, estimate)

    days = [last + timedelta(days=n) for n in range(32)]
    ends = [at + rules.MONTH for at, _ in used]
    first = next((day for day in days if fits(day)), None)
    found = rules.free_at(used, float(limit), estimate)
    if first is None:
        assert found is None
    elif first != last:  # it doesn't fit now
        assert found == first
        assert found in ends


def test_a_budget_may_be_used_to_its_last_second():
    spending = Spending(cpu_seconds=40, limit=100, cycles=1)
    assert not rules.exceeded(spending, 60)
    assert rules.exceeded(spending, 60.001)
    assert rules.exceeded(Spending(cpu_seconds=100, limit=100, cycles=1), None)
    assert not rules.exceeded(Spending(cpu_seconds=99.9, limit=100, cycles=1), None)
