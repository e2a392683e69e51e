"""Replaying a past: what the loop would have done, with real requests to the real server.

The rows of the dataset become requests at the time at which they happened, their
labels arrive when they became known, and the workspace's clock follows. So a
team sees a year of its retraining policy in minutes before trusting it with one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import sqlalchemy as sa

from treadle.data import Datasets, DatasetVersion
from treadle.deploy import Deployments
from treadle.kernel.database import insert_once
from treadle.kernel.engine import quote
from treadle.kernel.errors import Conflict, InvalidInput
from treadle.kernel.workspace import Workspace, replays
from treadle.monitor import LabelBatch, PredictionLog
from treadle.retrain.loop import Loop
from treadle.retrain.service import Cycles
from treadle.retrain.traffic import Traffic, requests
from treadle.retrain.types import ReplayState, ReplayStep

_ABREAST = 4


class Replays:
    """Replays of a workspace's data; at most one at a time.

    Args:
        workspace: The project's workspace.
        loop: What looks at the world after each step.
    """

    def __init__(self, workspace: Workspace, loop: Loop) -> None:
        self._ws = workspace
        self._loop = loop

    def state(self) -> ReplayState | None:
        """The replay under way."""
        with self._ws.database.read() as connection:
            row = connection.execute(sa.select(replays.c.since, replays.c.at)).first()
        if row is None:
            return None
        return ReplayState(since=row[0], at=row[1], end=self._bounds()[1])

    def start(self, at: datetime) -> ReplayState:
        """Sets the workspace's clock to a moment of the data's past.

        Raises:
            Conflict: If a replay is under way, or this workspace has served real traffic.
            InvalidInput: If the data doesn't reach back to that moment.
        """
        if self.state() is not None:
            raise _under_way()
        if PredictionLog(self._ws).count(self._ws.config.model):
            raise Conflict(
                "this workspace has predictions already; a replay would mix a past into them",
                fix="replay in a copy of the project without its .treadle folder",
            )
        first, last = self._bounds()
        if not first < at < last:
            raise InvalidInput(
                f"{at:%Y-%m-%d} lies outside the data, which covers {first:%Y-%m-%d} to {last:%Y-%m-%d}"
            )
        with self._ws.database.write() as connection:
            if not insert_once(connection, replays, {"id": 1, "since": at, "at": at}):
                raise _under_way()
        return ReplayState(since=at, at=at, end=last)

    def stop(self) -> None:
        """Gives the workspace the machine's clock again."""
        with self._ws.database.write() as connection:
            connection.execute(replays.delete())

    def step(self, until: datetime) -> ReplayStep:
        """Replays what happened from the replayed time up to a moment.

        While a cycle of the step before is still training, traffic flows on, slowly, so
        that a new version takes over amid requests as it would in life.

        Raises:
            Conflict: If no replay is under way, or nothing serves the model.
            InvalidInput: If the moment isn't later than the replayed time.
        """
        state = self.state()
        if state is None:
            raise Conflict("no replay is under way", fix="`treadle replay start DATE` begins one")
        if until <= state.at:
            raise InvalidInput(f"the replay is at {state.at:%Y-%m-%d %H:%M} already")
        version = self._version()
        traffic = self._send(version, state.at, until)
        labels = self._labels(version, state, until)
        with self._ws.database.write() as connection:
            connection.execute(replays.update().values(at=until))
        return ReplayStep(
            since=state.at,
            until=until,
            requests=traffic.requests,
            failed=traffic.failed,
            rows=traffic.rows,
            labels=labels,
            tick=self._loop.look(self._ws.config.model),
        )

    def _version(self) -> DatasetVersion:
        train, _ = self._ws.config.training
        return Datasets(self._ws).snapshot(train.data, "replay")

    def _bounds(self) -> tuple[datetime, datetime]:
        return Datasets(self._ws).bounds(self._version())

    def _send(self, version: DatasetVersion, since: datetime, until: datetime) -> Traffic:
        url = self._server()
        with ThreadPoolExecutor(_ABREAST) as pool:
            client = Traffic(url, self._ws.config.model)
            for _ in pool.map(client.send, self._paced(requests(self._ws, version, since, until))):
                pass
        client.flush()
        return client

    def _server(self) -> str:
        model = self._ws.config.model
        status = Deployments(self._ws).status(model)
        for replica in status.replicas:
            if replica.revision is not None:
                return replica.url
        raise Conflict(
            f"nothing serves {model}",
            fix="start `treadle up`; if nothing is in production yet, `treadle run` first",
        )

    def _paced(self, bodies: list[bytes]) -> Iterator[bytes]:
        """The requests, held back a little while a cycle runs, the last ones until it has ended."""
        tail = len(bodies) - max(1, len(bodies) // 5)
        for number, body in enumerate(bodies):
            while number >= tail and self._running():
                time.sleep(0.1)
            if number % 8 == 0 and number < tail and self._running():
                time.sleep(0.2)
            yield body

    def _running(self) -> bool:
        return bool(Cycles(self._ws).list(self._ws.config.model, running=True))

    def _labels(self, version: DatasetVersion, state: ReplayState, until: datetime) -> int:
        """Hands in the labels that became known in this step, of rows that were replayed."""
        _, data = self._ws.config.training
        if not (data.key and data.label and data.time):
            raise InvalidInput(
                "a replay needs the dataset's `key`, `label` and `time`",
                where="treadle.toml [data]",
            )
        known = quote(data.label_time or data.time)
        found = self._ws.engine.columns(
            f"SELECT CAST({quote(data.key)} AS VARCHAR) AS id, "  # noqa: S608 - names are quoted
            f"CAST({quote(data.label)} AS DOUBLE) AS value, epoch({known}) AS known_at FROM rows "
            f"WHERE {known} > ? AND {known} <= ? AND {quote(data.time)} >= ? "
            f"AND {quote(data.label)} IS NOT NULL ORDER BY 3, 1",
            [_naive(state.at), _naive(until), _naive(state.since)],
            {"rows": Datasets(self._ws).paths(version)},
        )
        batch = LabelBatch(
            batch=f"replay:{state.at.isoformat()}:{until.isoformat()}",
            ids=found["id"].tolist(),
            values=found["value"].tolist(),
            known_at=found["known_at"].tolist(),
        )
        if batch.ids:
            PredictionLog(self._ws).append_labels(self._ws.config.model, batch)
        return len(batch.ids)


def _under_way() -> Conflict:
    return Conflict("a replay is under way", fix="go on with it, or `treadle replay stop`")


def _naive(at: datetime) -> datetime:
    """Without its zone, as columns without one compare (both are UTC)."""
    return at.astimezone(UTC).replace(tzinfo=None)
