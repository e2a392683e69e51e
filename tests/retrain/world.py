"""A project at the start of a cycle, how that cycle ends if nobody disturbs it, and copies to disturb."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from retrain.account import account, check_whole, differences, trained
from retrain.wheel import Drivers, opened
from servers import PostgresServer
from treadle.retrain import Cycle, Cycles
from treadle.retrain.own_branch import tidy


class World:
    """A project at the start of a cycle; nothing drives it.

    Args:
        start: The project.
        drivers: Starts processes that drive.
        server: The Postgres server with its metadata; SQLite when None.
        database: The database on that server.
    """

    def __init__(
        self, start: Path, drivers: Drivers, server: PostgresServer | None = None, database: str = ""
    ) -> None:
        self._start = start
        self._drivers = drivers
        self._server = server
        self._database = database
        with opened(start) as workspace:
            self._before = len(Cycles(workspace).list())
        with self.copied(start.with_name("undisturbed")) as root:
            self.code = drivers(root, "run")
            with opened(root) as workspace:
                check_whole(workspace)
                self.cycle: Cycle = Cycles(workspace).list()[-1]
                tidy(workspace, self.cycle.model)  # what the driver may not have come to before it ended
                self.end = account(workspace)
                self.trained = trained(root)

    @contextmanager
    def copied(self, folder: Path) -> Iterator[Path]:
        """A copy of the project with its metadata; gone afterwards."""
        shutil.copytree(self._start, folder)
        name = f"t{secrets.token_hex(6)}"
        if self._server is not None:
            self._execute(f"CREATE DATABASE {name} TEMPLATE {self._database}")
            file = folder / "treadle.toml"
            urls = [self._server.url(database) for database in (self._database, name)]
            file.write_text(file.read_text().replace(*urls))
        yield folder
        if self._server is not None:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")
        shutil.rmtree(folder)

    def _execute(self, sql: str) -> None:
        assert self._server is not None
        with psycopg.connect(self._server.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.encode())

    def go_on(self, root: Path) -> None:
        """Starts once what was killed in a copy, and compares its end with the undisturbed one."""
        with opened(root) as workspace:
            cycles = Cycles(workspace).list()[self._before :]
        if not cycles or cycles[-1].state == "running":
            code = self._drivers(root, "run")
            assert code == self.code, (root / "driver.txt").read_text()
        else:
            assert self._drivers(root, do="wheel") == 0, (root / "driver.txt").read_text()
        self.check(root)

    def check(self, root: Path) -> None:
        """Whether a copy ended as the undisturbed one did, and trained what that trained, once."""
        with opened(root) as workspace:
            check_whole(workspace)
            tidy(workspace, self.cycle.model)
            found = differences(account(workspace), self.end)
        assert not found, "\n".join(found)
        names = trained(root)
        assert sorted(run[-2:] for run in names) == sorted(run[-2:] for run in self.trained), names
        assert len(set(names)) == len(names), names
