import contextlib
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servers import fill
from treadle.kernel import database as module
from treadle.kernel.database import Database, Instant, Json, insert_once, open_database
from treadle.kernel.errors import InvalidInput, StorageError, StorageFull, WorkspaceTooNew

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Point(msgspec.Struct, frozen=True):
    x: int
    y: float | None = None


things = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", Instant),
    sa.Column("points", Json(tuple[Point, ...])),
    sa.Column("number", sa.BigInteger, nullable=False, default=0),
)


@pytest.fixture
def database(metadata_url, tmp_path):
    """Every test that asks for it runs on SQLite and on Postgres."""
    opened = open_database(metadata_url, tmp_path)
    with opened.write() as connection:
        things.create(connection)
    yield opened
    opened.close()


def numbers(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(sa.select(things.c.number).order_by(things.c.id)).scalars())


MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MOMENTS | st.none(), min_size=1, max_size=5))
def test_moments_come_back_and_sort(database, moments):
    with database.write() as connection:
        connection.execute(things.delete())
        connection.execute(things.insert(), [{"id": n, "at": at} for n, at in enumerate(moments)])
    with database.read() as connection:
        assert list(connection.execute(sa.select(things.c.at).order_by(things.c.id)).scalars()) == moments
        ordered = connection.execute(
            sa.select(things.c.at).where(things.c.at.is_not(None)).order_by(things.c.at)
        )
        assert list(ordered.scalars()) == sorted(at for at in moments if at)


def test_a_moment_of_another_zone_is_the_same_moment(database):
    with database.write() as connection:
        connection.execute(things.insert().values(id=1, at=NOON.astimezone(timezone(timedelta(hours=5)))))
    with database.read() as connection:
        [found] = connection.execute(sa.select(things.c.at).where(things.c.at == NOON)).scalars()
    assert found == NOON
    assert found.tzinfo is UTC


def test_a_moment_without_a_zone_is_refused(database):
    with pytest.raises(sa.exc.StatementError, match="has no time zone"), database.write() as connection:
        connection.execute(things.insert().values(id=1, at=datetime(2026, 1, 1)))  # noqa: DTZ001
    assert numbers(database) == []


def test_values_keep_their_type(database):
    points = (Point(1, 2.5), Point(2**60, None))
    with database.write() as connection:
        connection.execute(things.insert(), [{"id": 1, "points": points}, {"id": 2, "points": None}])
    with database.read() as connection:
        assert list(connection.execute(sa.select(things.c.points).order_by(things.c.id)).scalars()) == [
            points,
            None,
        ]


def test_a_transaction_is_all_or_nothing(database):
    with pytest.raises(ZeroDivisionError), database.write() as connection:  # noqa: PT012 - the block is what fails
        connection.execute(things.insert().values(id=1))
        raise ZeroDivisionError
    assert numbers(database) == []
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:  # noqa: PT012 - the block is what fails
        connection.execute(things.insert().values(id=1))
        connection.execute(things.insert().values(id=1))
    assert numbers(database) == []


def test_a_reader_changes_nothing(database):
    with database.read() as connection:
        connection.execute(sa.text("SELECT 1"))
        with contextlib.suppress(sa.exc.DBAPIError):
            connection.execute(things.insert().values(id=1))
    assert numbers(database) == []


def test_a_reader_sees_one_state(database):
    with database.write() as connection:
        connection.execute(things.insert().values(id=1, number=1))
    with database.read() as connection:
        count = sa.select(sa.func.sum(things.c.number))
        assert connection.execute(count).scalar() == 1
        with database.write() as writer:
            writer.execute(things.update().values(number=7))
        assert connection.execute(count).scalar() == 1
    assert numbers(database) == [7]


def test_writers_wait_for_each_other(database):
    """Eight threads read a number and write it back one higher, fifty times each."""
    with database.write() as connection:
        connection.execute(things.insert().values(id=1, number=0))
    errors = []

    def work():
        try:
            for _ in range(50):
                with database.write() as connection:
                    query = sa.select(things.c.number).where(things.c.id == 1).with_for_update()
                    found = connection.execute(query).scalar_one()
                    connection.execute(things.update().values(number=found + 1))
        except Exception as error:  # noqa: BLE001 - it is what the test asserts
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert numbers(database) == [400]


def test_a_killed_writer_leaves_nothing_and_no_lock(database, metadata_url, tmp_path):
    script = (
        "import os, signal, sys; from pathlib import Path; import sqlalchemy as sa\n"
        "from treadle.kernel import database\n"
        "opened = database.Database(database.connect_engine(sys.argv[1], Path(sys.argv[2])))\n"
        "with opened.write() as connection:\n"
        "    connection.execute(sa.text('INSERT INTO things (id, number) VALUES (1, 1)'))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, metadata_url, tmp_path], check=False)
    assert done.returncode == -9
    with database.write() as connection:
        connection.execute(things.insert().values(id=1, number=2))
    assert numbers(database) == [2]


def test_a_wrong_statement_is_an_error_of_the_store(database):
    with (
        pytest.raises(StorageError, match="the metadata store failed") as error,
        database.read() as connection,
    ):
        connection.execute(sa.text("SELECT * FROM full_moon"))
    assert type(error.value) is StorageError


def test_opening_twice_is_opening_once(database, metadata_url, tmp_path):
    with database.write() as connection:
        connection.execute(things.insert().values(id=1, number=5))
    again = open_database(metadata_url, tmp_path)
    assert numbers(again) == [5]
    again.close()


def test_a_row_is_inserted_once(database):
    """Also when several transactions try at the same time; what else they did is kept."""
    barrier, added, errors = threading.Barrier(6), [], []

    def work(number):
        barrier.wait()
        try:
            with database.write() as connection:
                connection.execute(things.insert().values(id=number))
                added.append(insert_once(connection, things, {"id": 100, "number": number}))
        except Exception as error:  # noqa: BLE001 - it is what the test asserts
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(added) == [False] * 5 + [True]
    assert len(numbers(database)) == 7


def test_a_workspace_of_a_newer_version(database, metadata_url, tmp_path):
    with database.write() as connection:
        connection.execute(sa.text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32))"))
        connection.execute(sa.text("DELETE FROM alembic_version"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES ('9999')"))
    with pytest.raises(WorkspaceTooNew, match="schema 9999") as error:
        open_database(metadata_url, tmp_path)
    assert "nothing was changed" in error.value.fix
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all() == [
            "9999"
        ]


@pytest.mark.parametrize(
    "url", ["mysql://root@host/db", "sqlite://", "oracle://x", "treadle.db", "", "nonsense://"]
)
def test_urls_that_name_no_store(url, tmp_path):
    with pytest.raises(StorageError, match="names no database that Treadle knows") as error:
        open_database(url, tmp_path)
    assert "sqlite:///FILE" in error.value.fix


def test_a_server_that_does_not_answer_and_no_password_in_the_error(tmp_path):
    with pytest.raises(StorageError) as error:
        open_database("postgresql://me:secret@127.0.0.1:9/db", tmp_path)
    assert "secret" not in str(error.value)
    assert error.value.where == "postgresql://me:***@127.0.0.1:9/db"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        open_database("sqlite:///file/below/treadle.db", tmp_path)


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "treadle.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match="not a database") as error:
        open_database("sqlite:///treadle.db", tmp_path)
    assert error.value.where == f"sqlite:///{tmp_path}/treadle.db"
    assert (tmp_path / "treadle.db").read_bytes() == b"not a database" * 100


def test_sqlite_is_in_wal_mode(tmp_path):
    open_database("sqlite:///deep/treadle.db", tmp_path).close()
    with sqlite3.connect(tmp_path / "deep" / "treadle.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_full_disk(full_disk, tmp_path):
    """The change is refused whole; what was there can be read and, with room, written again."""
    database = open_database(f"sqlite:///{full_disk}/treadle.db", tmp_path)
    with database.write() as connection:
        things.create(connection)
        connection.execute(things.insert().values(id=0, number=42))
    filler = fill(full_disk)
    with pytest.raises(StorageFull) as error, database.write() as connection:  # noqa: PT012 - the block is what fails
        many = tuple(Point(n) for n in range(10_000))
        for number in range(1, 20):
            connection.execute(things.insert().values(id=number, points=many))
    assert error.value.where == f"sqlite:///{full_disk}/treadle.db"
    assert numbers(database) == [42]
    filler.unlink()
    with database.write() as connection:
        connection.execute(things.insert().values(id=1, number=43))
    assert numbers(database) == [42, 43]
    database.close()


def test_opening_on_a_full_disk(full_disk, tmp_path):
    filler = fill(full_disk)
    with pytest.raises(StorageFull):
        open_database(f"sqlite:///{full_disk}/treadle.db", tmp_path)
    filler.unlink()
    open_database(f"sqlite:///{full_disk}/treadle.db", tmp_path).close()


def test_many_open_a_new_store_at_once(metadata_url, tmp_path, monkeypatch):
    monkeypatch.undo()  # with the real migrations
    barrier, opened = threading.Barrier(4), []

    def work():
        barrier.wait()
        opened.append(open_database(metadata_url, tmp_path))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for database in opened:
        with database.read() as connection:
            assert sa.inspect(connection).has_table("events")
        database.close()
    assert module.SCHEMA_VERSION


def test_what_no_row_can_have_is_bad_input_and_no_failure(postgres_url, tmp_path):
    database = open_database(postgres_url, tmp_path)
    for value, kind in (("a\0b", sa.Text), (2**70, sa.BigInteger)):
        with pytest.raises(InvalidInput, match="can't keep"), database.read() as connection:
            connection.execute(sa.select(sa.cast(sa.literal(value, kind), kind)))
    database.close()
