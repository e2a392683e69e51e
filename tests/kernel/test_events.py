import threading
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from treadle.kernel.database import open_database
from treadle.kernel.events import record, timeline
from treadle.kernel.types import Event

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENT = Event("e1", NOON, NOON, "model:toy", "promoted", "anna", "It was better.", {"auc": "0.7"})


@pytest.fixture
def database(metadata_url, tmp_path):
    opened = open_database(metadata_url, tmp_path)
    yield opened
    opened.close()


def add(database, *events):
    with database.write() as connection:
        for event in events:
            record(connection, event)


def test_an_event_comes_back_as_it_was(database):
    add(database, EVENT)
    assert timeline(database, "model:toy") == [EVENT]
    assert timeline(database, "model:other") == []


def test_one_identity_is_recorded_once(database):
    add(database, EVENT, replace(EVENT, message="again"))
    add(database, replace(EVENT, message="and again"))
    assert timeline(database, "model:toy") == [EVENT]


def test_the_same_event_from_many_threads(database):
    """Also when each transaction does something else as well, which must be kept."""
    barrier, errors = threading.Barrier(6), []

    def work(number):
        barrier.wait()
        try:
            add(database, replace(EVENT, id=f"own_{number}"), EVENT)
        except Exception as error:  # noqa: BLE001 - it is what the test asserts
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(timeline(database, "model:toy")) == 7


def test_the_timeline_is_the_latest_events_oldest_first(database):
    days = [replace(EVENT, id=f"e{n}", at=NOON + timedelta(days=n)) for n in range(5)]
    add(database, *reversed(days))
    assert timeline(database, "model:toy") == days
    assert timeline(database, "model:toy", limit=2) == days[-2:]


def test_an_event_falls_with_its_transaction(database):
    with pytest.raises(ZeroDivisionError), database.write() as connection:  # noqa: PT012 - the block is what fails
        record(connection, EVENT)
        raise ZeroDivisionError
    assert timeline(database, "model:toy") == []
