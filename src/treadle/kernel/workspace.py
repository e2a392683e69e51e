"""The workspace: a project's configuration and everything that is kept for it."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Self, cast

import sqlalchemy as sa

from treadle.kernel.blobs import BlobStore, open_blobs
from treadle.kernel.buckets import Buckets
from treadle.kernel.clock import Clock, ReplayableClock
from treadle.kernel.config import Config, load_config
from treadle.kernel.database import Database, Instant, open_database, schema
from treadle.kernel.engine import DuckDBEngine, Engine
from treadle.kernel.fallback import FallbackBlobs
from treadle.kernel.files import keep_out_of_git
from treadle.kernel.ids import Ids, RandomIds

replays = sa.Table(
    "replays",
    schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("since", Instant, nullable=False),
    sa.Column("at", Instant, nullable=False),
)


class Workspace:
    """What every service is given: configuration, stores, clock and identifiers.

    Args:
        root: The project's folder.
        config: What its ``treadle.toml`` says.
        database: The metadata store.
        blobs: The blob store.
        clock: Tells the time; the machine's, or the replayed one, when left out.
        ids: Makes identifiers.
    """

    def __init__(
        self,
        root: Path,
        config: Config,
        database: Database,
        blobs: BlobStore,
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        self.root = root
        self.config = config
        self.database = database
        self.blobs = blobs
        self.clock = clock or ReplayableClock(self.replayed_time)
        self.ids = ids or RandomIds()

    @classmethod
    def open(cls, root: Path, clock: Clock | None = None, ids: Ids | None = None) -> Self:
        """Opens the workspace of the project in a folder; makes what is missing.

        Raises:
            ConfigError: If ``treadle.toml`` can't be used.
            WorkspaceTooNew: If a later version of Treadle wrote it.
            StorageError: If a store can't be opened.
        """
        root = root.resolve()
        config = load_config(root)
        keep_out_of_git(root / ".treadle")
        database = open_database(config.store.metadata, root)
        blobs = open_blobs(config.store.blobs, root, config.store.options)
        return cls(root, config, database, blobs, clock, ids)

    @property
    def state(self) -> Path:
        """The folder for local state that may be lost with the machine: caches, jobs, locks."""
        return self.root / ".treadle"

    @cached_property
    def buckets(self) -> Buckets:
        """Buckets in which contents of versions lie that were never copied; known by remotes and stores."""
        remotes = [(one.url, one.options) for one in self.config.remotes.values()]
        store = self.config.store
        return Buckets([*remotes, (store.blobs, store.options)])

    @cached_property
    def engine(self) -> Engine:
        """Runs column work."""
        return DuckDBEngine(self.state / "tmp")

    @cached_property
    def readable(self) -> BlobStore:
        """The blobs, for reading: what isn't kept here is asked of the default remote, if there is one."""
        name = self.config.default_remote
        if name is None:
            return self.blobs
        remote = self.config.remotes[name]

        def open_remote() -> BlobStore:
            return open_blobs(remote.url, self.root, remote.options, retries=3)

        return cast("BlobStore", FallbackBlobs(self.blobs, open_remote, self.state / "cache" / "ranges"))

    def replayed_time(self) -> datetime | None:
        """The time of the replay under way; ``None`` when there is none."""
        with self.database.read() as connection:
            found: datetime | None = connection.execute(sa.select(replays.c.at)).scalar()
        return found

    def close(self) -> None:
        """Lets go of the stores."""
        self.database.close()
