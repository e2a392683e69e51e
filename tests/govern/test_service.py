import threading
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from treadle.govern import Spending, Usage, Usages
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import BudgetExceeded
from treadle.kernel.workspace import Workspace

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def usage(number, days_ago=1.0, cpu=60.0, **facts):
    at = NOW - timedelta(days=days_ago)
    base = Usage(
        id=f"job_{number}", at=at, model="toy", run=f"run_{number}", cpu_seconds=cpu, wall_seconds=90
    )
    return replace(base, **facts)


@pytest.fixture
def usages(project, clock: ManualClock, metadata_url):
    """With a budget of 100 s a cycle and 10 minutes a month, on each kind of metadata store."""
    toml = project / "treadle.toml"
    toml.write_text(
        toml.read_text()
        + f'\n[budget]\ncycle = "100s"\nmonth = "10m"\n[store]\nmetadata = "{metadata_url}"\n'
    )
    workspace = Workspace.open(project, clock=clock)
    yield Usages(workspace)
    workspace.close()


def test_without_a_budget_nothing_is_refused(workspace):
    usages = Usages(workspace)
    usages.meter(usage(1, cpu=1e9))
    assert usages.spending("toy", NOW) == Spending(cpu_seconds=1e9, limit=None, cycles=0)
    usages.check("toy", 1e9, NOW)
    assert usages.cycle_left("c") is None


def test_one_identity_is_metered_once(usages):
    barrier = threading.Barrier(4)

    def work():
        barrier.wait()
        usages.meter(usage(1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    usages.meter(usage(1, cpu=500.0))
    assert usages.spending("toy", NOW).cpu_seconds == 60.0


def test_spending_counts_thirty_days_of_one_model(usages):
    usages.meter(usage(1, days_ago=29.99, cycle="c1"))
    usages.meter(usage(2, days_ago=0, cycle="c2"))
    usages.meter(usage(3, cycle="c2"))
    usages.meter(usage(4))
    usages.meter(usage(5, days_ago=30, cycle="c0"))
    usages.meter(usage(6, days_ago=-1, cycle="c3"))
    usages.meter(usage(7, model="other", cycle="c4"))
    assert usages.spending("toy", NOW) == Spending(cpu_seconds=240.0, limit=600.0, cycles=2)
    assert usages.spending("new", NOW) == Spending(cpu_seconds=0.0, limit=600.0, cycles=0)


def test_a_cycle_that_fits_is_let_through(usages):
    usages.meter(usage(1, cpu=500))
    usages.check("toy", 100.0, NOW)
    usages.check("toy", None, NOW)


def test_a_cycle_that_does_not_fit_is_refused_with_numbers(usages):
    usages.meter(usage(1, days_ago=20, cpu=300))
    usages.meter(usage(2, days_ago=10, cpu=200))
    with pytest.raises(BudgetExceeded) as error:
        usages.check("toy", 101.0, NOW)
    assert error.value.message == (
        "8m 20s of CPU time were spent on 'toy' in the last 30 days and a cycle takes about 1m 41s;"
        " the budget is 10m"
    )
    assert error.value.fix == "wait until 2026-03-11 12:00 UTC, or raise the budget"
    usages.check("toy", 101.0, NOW + timedelta(days=10))


def test_a_cycle_larger_than_the_budget_never_fits(usages):
    with pytest.raises(BudgetExceeded) as error:
        usages.check("toy", 601.0, NOW)
    assert error.value.fix == "raise the budget"


def test_an_unknown_cost_is_refused_only_when_nothing_is_left(usages):
    usages.meter(usage(1, cpu=600))
    with pytest.raises(
        BudgetExceeded, match="10m of CPU time were spent on 'toy' in the last 30 days; the budget"
    ):
        usages.check("toy", None, NOW)


def test_what_a_cycle_has_left(usages):
    assert usages.cycle_left("c1") == 100.0
    usages.meter(usage(1, cpu=30, cycle="c1"))
    usages.meter(usage(2, cpu=30, cycle="c2"))
    assert usages.cycle_left("c1") == 70.0
    usages.meter(usage(3, cpu=90, cycle="c1"))
    assert usages.cycle_left("c1") == 0.0
