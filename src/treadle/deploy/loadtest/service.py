"""Runs load tests and keeps what came of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from msgspec.structs import replace

from treadle.deploy.loadtest import store
from treadle.deploy.loadtest.candidate import candidate
from treadle.deploy.loadtest.generator import generate
from treadle.deploy.loadtest.rows import bodies, rows_of
from treadle.deploy.loadtest.types import Load, LoadProgress, LoadTest, NewLoadTest, Sent
from treadle.deploy.loadtest.verdict import judge, percentiles_ms
from treadle.deploy.loadtest.watching import Cancelled, Watch
from treadle.deploy.options import replica_options
from treadle.deploy.service import Deployments
from treadle.evaluate import aggregate
from treadle.kernel.config import ObjectiveConfig
from treadle.kernel.errors import Conflict, InvalidInput
from treadle.kernel.events import record
from treadle.kernel.lock import Holder, exclusive
from treadle.kernel.types import Event
from treadle.kernel.units import parse_duration
from treadle.kernel.workspace import Workspace
from treadle.registry import ModelVersion, Registry, read_example

_MOST = 1_000_000
_WARMUP = 2.0
_LONGEST_WAIT = 10.0
_EXAMPLE = "example.json"
_TEST = {"x-treadle-test": "1"}
_DECLARE = (
    "declare it in treadle.toml, such as: [serve.objective] p99_ms = 50, availability = 99.9, rate = 100"
)


class LoadTests:
    """Load tests of a workspace's models.

    Args:
        workspace: Where.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._deployments = Deployments(workspace)

    def list(self, model: str, version: int | None = None) -> list[LoadTest]:
        """A model's latest load tests, or a version's, newest first."""
        with self._workspace.database.read() as connection:
            return store.latest(connection, model, version)

    def run(self, model: str, new: NewLoadTest, actor: str, watch: Watch | None = None) -> LoadTest:
        """Sends requests and says whether the objective held; takes as long as the test.

        Args:
            model: The model.
            new: What is asked for.
            actor: Who asks.
            watch: Is told how far it is, and may stop it: then nothing is judged, and that is kept.

        Raises:
            NotFound: If there is no such version or environment.
            InvalidInput: If no objective or no rate is declared, or the rows are wrong.
            Conflict: If the running deployment is to be tested and none runs.
            Busy: If another load test runs in this workspace.
            JobFailed: If the version can't be started, or the generator fails.
        """
        objective = self._workspace.config.serve.objective
        rate = self._checked(objective, new)
        running, watch, there = new.version is None, watch or Watch(), self._deployments.at(new.environment)
        revision, number = _serving(there, model) if running else (None, new.version or 0)
        version = Registry(self._workspace).get(f"{model}/{number}")
        asked = bodies(new.rows or self._example(version), version.signature) if version.signature else ()
        if not asked:
            raise InvalidInput(
                "there are no rows to ask", where=version.ref, fix="give some: --rows FILE.jsonl"
            )
        at = self._workspace.clock.now()
        doing = Holder(os.getpid(), f"a load test of {version.ref}", None)
        sent: Sent | None = None
        with (
            contextlib.suppress(Cancelled),
            exclusive(self._workspace.state / "loadtest.lock", doing),
            _running(there, model) if running else self._private(version, watch) as found,
        ):
            sent = generate(self._load(model, new, rate, found, asked, tested=running), watch)
        watch.tell(replace(watch.progress, step="judging"))
        if sent is not None and sent.refused:
            raise InvalidInput(
                f"the server finds a request wrong, {sent.refused}",
                where=version.ref,
                fix="give rows as it takes them: --rows FILE.jsonl",
            )
        about = LoadTest(
            id=self._workspace.ids.new("loadtest"),
            model=version.model,
            version=version.number,
            revision=revision,
            at=at,
            actor=actor,
            rate=rate,
            seconds=new.seconds,
            arrivals=new.arrivals,
            requests=watch.progress.sent,
            failed=watch.progress.failed,
            p50_ms=None,
            p99_ms=None,
            lag_ms=0.0,
            objective=objective,
            verdicts=(),
            outcome="inconclusive",
            cancelled=watch.why,
        )
        return self._keep(about if sent is None else _judged(about, sent))

    def require(
        self, ref: str, actor: str, told: Callable[[LoadProgress], None] = lambda _: None
    ) -> LoadTest:
        """Makes sure that a version holds the objective at the rate of one replica, by a test if need be.

        Args:
            ref: The version.
            actor: Who wants it to.
            told: Is told how far the test is, some times a second.

        Returns:
            The test that shows it: one that was passed before, at this rate and for this objective,
            or a new one.

        Raises:
            Refused: If it doesn't, or that can't be told.
        """
        version = Registry(self._workspace).get(ref)
        new = self._needed(version)
        shown = self._shown(version, new)
        if shown is not None:
            return shown
        found = self.run(version.model, new, actor, Watch(told))
        found.check_held()
        return found

    def required(self, ref: str) -> NewLoadTest | None:
        """The test that :meth:`require` would make; None if one was passed before."""
        version = Registry(self._workspace).get(ref)
        new = self._needed(version)
        return None if self._shown(version, new) else new

    def _needed(self, version: ModelVersion) -> NewLoadTest:
        """A test at the rate of one replica."""
        replicas = max(1, len(self._deployments.status(version.model).replicas))
        rate = self._checked(self._workspace.config.serve.objective, NewLoadTest())
        return NewLoadTest(version=version.number, rate=rate / replicas)

    def _shown(self, version: ModelVersion, new: NewLoadTest) -> LoadTest | None:
        """The test that was passed before, at this rate at least and for this objective."""
        objective, rate = self._workspace.config.serve.objective, new.rate or 0.0
        for one in self.list(version.model, version.number):
            if one.outcome == "pass" and one.objective == objective and one.rate >= rate and not one.revision:
                return one
        return None

    def _checked(self, objective: ObjectiveConfig, new: NewLoadTest) -> float:
        """The rate to send at."""
        if objective.p99_ms is None and objective.availability is None:
            raise InvalidInput("no service level objective is declared to hold", fix=_DECLARE)
        rate = new.rate or objective.rate
        if rate is None:
            raise InvalidInput("no rate is declared", fix=f"give --rate, or {_DECLARE}")
        if rate * new.seconds > _MOST:
            raise InvalidInput(
                f"{rate * new.seconds:,.0f} requests are too many to send",
                where="seconds",
                fix=f"ask for at most {_MOST / rate:,.0f} seconds at this rate",
            )
        return rate

    def _example(self, version: ModelVersion) -> Sequence[dict[str, Any]]:
        """The rows that the version was proven on, or that MLflow's client logged with it."""
        theirs = version.example not in ("", _EXAMPLE)
        name = version.example if theirs else _EXAMPLE
        digest = next((file.digest for file in version.files if file.path == name), None)
        if digest is None or version.signature is None:
            return []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / _EXAMPLE
            self._workspace.blobs.fetch(digest, path)
            if theirs:
                return rows_of(read_example(path.read_bytes(), version.signature))
            return rows_of(msgspec.json.decode(path.read_bytes(), type=dict[str, list[Any]]))

    @contextlib.contextmanager
    def _private(self, version: ModelVersion, watch: Watch) -> Iterator[tuple[tuple[str, int], ...]]:
        state = self._workspace.state / "loadtest"
        shutil.rmtree(state, ignore_errors=True)  # of one that was killed; this one holds the lock
        (state / "files").mkdir(parents=True)
        (state / "replica").mkdir()
        # Those of models in MLflow's format take minutes to make: they stay for the next test.
        made = self._workspace.state / "loadtest-environments"
        made.mkdir(exist_ok=True)
        (state / "replica" / "environments").symlink_to(made)
        try:
            for file in version.files:
                self._workspace.blobs.fetch(file.digest, state / "files" / file.digest)
            wanted = self._deployments.alone(version)
            options = replica_options(self._workspace.config.serve, [version.model], state / "replica")
            with candidate(options, wanted, state / "files", watch) as address:
                yield (address,)
        finally:
            shutil.rmtree(state, ignore_errors=True)

    def _load(
        self,
        model: str,
        new: NewLoadTest,
        rate: float,
        addresses: tuple[tuple[str, int], ...],
        asked: tuple[bytes, ...],
        *,
        tested: bool,
    ) -> Load:
        timeout = parse_duration(self._workspace.config.serve.timeout).total_seconds()
        return Load(
            addresses=addresses,
            path=f"/v2/models/{quote(model, safe='')}/infer",
            bodies=asked,
            # A replica of its own answers as it would answer anybody; what runs is not to count this.
            headers=_TEST if tested else {},
            rate=rate,
            seconds=new.seconds,
            warmup=min(_WARMUP, new.seconds),
            arrivals=new.arrivals,
            seed=new.seed,
            timeout=min(timeout, _LONGEST_WAIT),
        )

    def _keep(self, found: LoadTest) -> LoadTest:
        with self._workspace.database.write() as connection:
            store.add(connection, found)
            record(connection, self._told(found))
        return found

    def _told(self, found: LoadTest) -> Event:
        on = f"revision {found.revision}" if found.revision else "a replica of its own"
        said = f"{found.outcome}; {'; '.join(one.sentence for one in found.verdicts)}"
        if found.cancelled:
            said = f"stopped after {found.requests:,} requests, nothing was judged: {found.cancelled}"
        asked = f"version {found.version} on {on}, {found.rate:g} requests a second"
        facts = {
            "version": str(found.version),
            "loadtest": found.id,
            "outcome": "cancelled" if found.cancelled else found.outcome,
            "rate": f"{found.rate:g}",
        }
        return Event(
            id=self._workspace.ids.new("event"),
            at=found.at,
            recorded_at=datetime.now(UTC),
            subject=f"model:{found.model}",
            kind="load_tested",
            actor=found.actor,
            message=f"{asked}: {said}",
            facts=facts | ({"revision": str(found.revision)} if found.revision else {}),
        )


def _serving(there: Deployments, model: str) -> tuple[int, int]:
    """The revision and version that serve now.

    Raises:
        Conflict: If nothing does.
    """
    status = there.status(model)
    if status.serving is None or not status.replicas:
        raise Conflict(
            f"nothing serves {model} just now",
            fix=f"test a version by itself: treadle deploy loadtest {model} --version N",
        )
    return status.serving.revision, status.serving.version


@contextlib.contextmanager
def _running(there: Deployments, model: str) -> Iterator[tuple[tuple[str, int], ...]]:
    urls = sorted({one.url for one in there.status(model).replicas})
    split = [urlsplit(url) for url in urls]
    yield tuple((one.hostname or "127.0.0.1", one.port or 80) for one in split)


def _judged(about: LoadTest, sent: Sent) -> LoadTest:
    """A load test that was sent to its end, with what it showed."""
    verdicts = judge(sent, about.objective, about.rate, about.seconds)
    p50, p99 = percentiles_ms(sent.seconds, (0.5, 0.99))
    return replace(
        about,
        requests=len(sent.seconds),
        failed=sum(count for code, count in sent.statuses.items() if not 200 <= code < 400),
        p50_ms=p50,
        p99_ms=p99,
        lag_ms=percentiles_ms(sent.lag, (0.99,))[0] or 0.0,
        verdicts=verdicts,
        outcome=aggregate(one.outcome for one in verdicts),
        cancelled="",
    )
