"""The metadata store: SQLite beside the project, or Postgres by URL, with the same semantics.

A room declares its tables on :data:`schema` with the column types below and opens
``database.read()`` or ``database.write()``. The tables themselves are made by the
numbered migrations in ``kernel/migrations``.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from treadle.kernel.errors import InvalidInput, StorageError, StorageFull, WorkspaceTooNew
from treadle.kernel.lock import Holder, exclusive

_LEAST_ROOM = 64 << 10
LOCK_TIMEOUT = 30.0
"""So many seconds a writer waits for another one."""

SCHEMA_VERSION = "0016"
schema = sa.MetaData()

T = TypeVar("T")


class Instant(TypeDecorator[datetime]):
    """A moment, kept as microseconds since 1970 in UTC: sorts and compares alike everywhere."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy gives it
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        delta = value - datetime(1970, 1, 1, tzinfo=UTC)
        return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """From the database."""
        if value is None:
            return None
        seconds, micros = divmod(value, 1_000_000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


class Json(TypeDecorator[T], Generic[T]):
    """A typed value, kept as JSON text.

    Args:
        kind: The type to read it back as; anything that msgspec can decode.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: T | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """To the database."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> T | None:  # noqa: ARG002
        """From the database."""
        if value is None:
            return None
        decoded: T = msgspec.json.decode(value, type=self.kind)
        return decoded


class Database:
    """A metadata store that is open.

    Args:
        engine: Where it is; made by :func:`open_database`.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection that sees one consistent state and changes nothing.

        Raises:
            StorageError: If the database can't be read.
        """
        with database_errors(self.engine), self.engine.connect() as connected:
            connection = connected
            if self.engine.dialect.name == "postgresql":
                connection = connected.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction: all of it is kept when the block ends well, nothing otherwise.

        Raises:
            StorageFull: If the disk is full.
            StorageError: If the database can't be written.
        """
        with database_errors(self.engine), self.engine.connect() as connected:
            connection = connected.execution_options(treadle_write=True)
            with connection.begin():
                yield connection

    def compact(self) -> None:
        """Rewrites SQLite's file, so that what was freed in it is the disk's again; takes as much room.

        Raises:
            StorageFull: If the disk is full.
            StorageError: If somebody else holds the database.
        """
        with database_errors(self.engine), contextlib.closing(self.engine.raw_connection()) as connection:
            driver: Any = connection.driver_connection
            driver.execute("VACUUM")

    def close(self) -> None:
        """Lets go of every connection."""
        self.engine.dispose()


@contextlib.contextmanager
def database_errors(engine: sa.Engine) -> Iterator[None]:
    """Turns the driver's errors inside the block, bare or wrapped by SQLAlchemy, into Treadle's.

    Raises:
        InvalidInput: If a value is one that no row can have, such as a NUL or too large an integer.
        StorageFull: If the disk is full.
        StorageError: If the database can't be read or written.
    """
    try:
        yield
    except sa.exc.IntegrityError:
        raise
    except sa.exc.DataError as error:
        first = str(error.orig).partition("\n")[0]
        raise InvalidInput(f"the metadata store can't keep what was given: {first}") from error
    except (sa.exc.DBAPIError, engine.dialect.loaded_dbapi.Error) as error:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        where = _shown(engine)
        if _is_full(cause) or _no_room(engine, cause):
            raise StorageFull(
                "the disk is full; the change was not made",
                where=where,
                fix="free some space and run the same command again",
            ) from error
        first = str(cause).partition("\n")[0]
        raise StorageError(
            f"the metadata store failed: {first}", where=where, fix=_remedy(engine, cause)
        ) from error


def _shown(engine: sa.Engine) -> str:
    """The URL as the user wrote it, without its password."""
    return engine.url.render_as_string(hide_password=True).replace("postgresql+psycopg:", "postgresql:", 1)


def _remedy(engine: sa.Engine, error: BaseException | None) -> str:
    if engine.dialect.name == "postgresql":
        return "see that the server runs and the URL in [store] metadata is right; `treadle doctor` looks"
    name = str(getattr(error, "sqlite_errorname", ""))
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return "make the file and its folder writable; `treadle doctor` looks"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return "put back the file from a backup, or move it away to begin anew; nothing was changed"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return (
            "another process keeps it locked: end that one (`fuser` on the file tells which), or wait for it"
        )
    return "run the same command again; if that fails too, look at the file and its disk"


def _no_room(engine: sa.Engine, error: BaseException | None) -> bool:
    """Whether SQLite failed on a disk without room: it can't always tell itself."""
    name = str(getattr(error, "sqlite_errorname", ""))
    if not name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")) or not engine.url.database:
        return False
    try:
        return shutil.disk_usage(Path(engine.url.database).parent).free < _LEAST_ROOM
    except OSError:
        return False


def _is_full(error: BaseException | None) -> bool:
    """Whether it is SQLite's SQLITE_FULL or Postgres' disk_full."""
    return (
        getattr(error, "sqlite_errorname", None) == "SQLITE_FULL"
        or getattr(error, "sqlstate", None) == "53100"
    )


def insert_once(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Adds a row unless one of its identity is there, also when another process adds it right now.

    Returns:
        Whether it was added.
    """
    from sqlalchemy.dialects import postgresql, sqlite

    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(**values).on_conflict_do_nothing()
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1


def take_turn(connection: sa.Connection, *of: str) -> None:
    """Has whoever takes a turn of the same name wait until the transaction ends.

    For what no row stands for that could be locked, such as that something isn't there yet. SQLite has one
    writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        name = hashlib.blake2b("\0".join(of).encode(), digest_size=8).digest()
        key = int.from_bytes(name, "big", signed=True)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))


def open_database(url: str, root: Path) -> Database:
    """Opens a metadata store, makes it if it is new, and brings it to this version's schema.

    Args:
        url: ``sqlite:///FILE`` (relative to ``root``), ``sqlite:////ABSOLUTE`` or ``postgresql://...``.
        root: The project's folder.

    Raises:
        WorkspaceTooNew: If a later version of Treadle wrote it.
        StorageError: If it can't be opened.
    """
    database = Database(connect_engine(url, root))
    try:
        if _version(database) != SCHEMA_VERSION:
            _migrate(database, root)
    except BaseException:
        database.close()
        raise
    return database


def connect_engine(url: str, root: Path) -> sa.Engine:
    """Connects to a metadata store whose tables are there; else as :func:`open_database`."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise _unknown("[store] metadata") from None  # not the text: a password may stand in it
    if parsed.get_backend_name() == "postgresql":
        return sa.create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise _unknown(parsed.render_as_string(hide_password=True))
    path = root / parsed.database
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(str(error), where=str(path)) from error
    engine = sa.create_engine(
        parsed.set(database=str(path)), connect_args={"timeout": LOCK_TIMEOUT, "check_same_thread": False}
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        _use_wal(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A writer takes its lock at once: a reader that turned into a writer would fail, not wait.
        write = connection.get_execution_options().get("treadle_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _use_wal(connection: Any) -> None:
    """Switches the file to its journal; SQLite itself doesn't wait when several do so at once."""
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _unknown(where: str) -> StorageError:
    return StorageError(
        "the metadata URL names no database that Treadle knows",
        where=where,
        fix="use sqlite:///FILE or postgresql://USER@HOST/NAME",
    )


def _version(database: Database) -> str | None:
    with database.read() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if found is not None and found > SCHEMA_VERSION:
        raise WorkspaceTooNew(
            f"this workspace has schema {found}; this Treadle knows schemas up to {SCHEMA_VERSION}",
            where=_shown(database.engine),
            fix="upgrade Treadle (pip install -U 'treadle[platform]'); nothing was changed",
        )
    return found


def _migrate(database: Database, root: Path) -> None:
    from treadle.kernel.errors import Busy

    deadline = time.monotonic() + 60
    while True:
        try:
            with exclusive(root / ".treadle" / "migrate.lock", Holder(0, "migrating")):
                if _version(database) == SCHEMA_VERSION:
                    return
                with database.write() as connection:
                    if connection.dialect.name == "postgresql":
                        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7305417)"))
                    _upgrade(connection)
                return
        except Busy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _upgrade(connection: sa.Connection) -> None:
    """Makes the tables in a database that has none, and runs the migrations that aren't yet in it."""
    from treadle.kernel.migrations import baseline

    if not sa.inspect(connection).has_table("alembic_version"):
        baseline.create(connection)
        if baseline.BASELINE == SCHEMA_VERSION:
            return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "treadle.kernel:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
