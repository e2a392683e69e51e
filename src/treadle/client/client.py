"""The typed client of the API: one method for each thing that can be asked."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote, unquote, urlencode

import msgspec

from treadle.client.archives import ArchiveCalls
from treadle.client.asking import AskCalls
from treadle.client.branching import BranchCalls
from treadle.client.cards import CardCalls
from treadle.client.checking import CheckCalls
from treadle.client.deleting import DeletingCalls
from treadle.client.deploying import DeployCalls
from treadle.client.importing import ImportCalls
from treadle.client.listing import RunList
from treadle.client.moving import MovingCalls
from treadle.client.paths import PathCalls
from treadle.client.payloads import PayloadCalls
from treadle.client.registering import ModelCalls
from treadle.client.remotes import RemoteCalls
from treadle.client.retaining import RetentionCalls
from treadle.client.retraining import RetrainCalls
from treadle.client.reviewing import ReviewCalls
from treadle.client.tables import TableCalls
from treadle.client.transport import Answer, Body, Transport
from treadle.client.watching import IncidentCalls
from treadle.client.working import WorkCalls
from treadle.data.types import DataInput, DatasetVersion
from treadle.evaluate.types import Evaluation
from treadle.experiment.types import Artifact, JournalBatch, Media, NewRun, Point, Run
from treadle.govern.types import Spending
from treadle.kernel.errors import ErrorBody, InvalidInput, TreadleError, Unavailable, from_body
from treadle.kernel.files import replacing
from treadle.kernel.types import Event, Health
from treadle.monitor.types import (
    Alert,
    Backfill,
    DroppedFile,
    Hindsight,
    LabelBatch,
    PredictionBatch,
    WindowResult,
    WrittenMonitors,
)
from treadle.registry.types import ModelVersion
from treadle.retrain.types import (
    Cycle,
    NewCycle,
    Plan,
    Reign,
    ReplayState,
    ReplayStep,
    Tick,
)

T = TypeVar("T")
_WORTH_PACKING = 1000


class TrainingRows(msgspec.Struct, frozen=True):
    """Rows to train on.

    Attributes:
        path: The local Parquet file that has them.
        input: Which rows of which version they are; None if the server doesn't tell.
    """

    path: Path
    input: DataInput | None


class Client(
    ArchiveCalls,
    AskCalls,
    BranchCalls,
    CardCalls,
    CheckCalls,
    DeletingCalls,
    DeployCalls,
    ImportCalls,
    IncidentCalls,
    ModelCalls,
    MovingCalls,
    PathCalls,
    PayloadCalls,
    RemoteCalls,
    RetentionCalls,
    RetrainCalls,
    ReviewCalls,
    TableCalls,
    WorkCalls,
):
    """Talks to the API.

    Args:
        transport: How requests get there.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    def http(cls, url: str) -> Self:
        """A client of a server."""
        from treadle.client.http import HttpTransport

        return cls(HttpTransport(url))

    @classmethod
    def in_process(cls, root: Path) -> Self:
        """A client of the workspace in a folder, without a server."""
        from treadle.client.inprocess import InProcessTransport

        return cls(InProcessTransport(root))

    @property
    def transport(self) -> Transport:
        """How requests get there; also those of other protocols."""
        return self._transport

    @property
    def server(self) -> str:
        """Where requests go: a server's address, or the project's folder."""
        return self._transport.name

    @property
    def embedded(self) -> bool:
        """Whether requests stay in this process."""
        return "://" not in self._transport.name

    def close(self) -> None:
        """Lets go of connections and threads."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, method: str, target: str, body: Body = b"", headers: Mapping[str, str] = {}) -> Answer:
        answer = self._transport.send(method, target, body, headers)
        if answer.status < 300:
            return answer
        raw = answer.read()
        try:
            raise from_body(msgspec.json.decode(raw, type=ErrorBody))
        except msgspec.DecodeError:
            error = Unavailable if answer.status in (502, 503, 504) else TreadleError
            raise error(
                f"the server answered {answer.status}: {raw[:200].decode(errors='replace')}",
                where=f"{self.server}{target}",
            ) from None

    def _ask(self, kind: Any, method: str, path: str, body: Any = None, /, **query: Any) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        target = f"{path}?{urlencode(given, doseq=True)}" if given else path
        raw = b"" if body is None else msgspec.json.encode(body)
        headers = {}
        if len(raw) > _WORTH_PACKING:
            raw, headers = zlib.compress(raw, 1), {"Content-Encoding": "deflate"}
        return self._decode(self._send(method, target, raw, headers).read(), kind, path)

    def _decode(self, raw: bytes, kind: Any, path: str) -> Any:
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.DecodeError as error:
            raise TreadleError(
                f"the answer can't be read: {error}",
                where=f"{self.server}{path}",
                fix="is that a Treadle server, of a version that fits? `treadle doctor` looks",
            ) from error

    # ── the server itself ────────────────────────────────────────────────

    def health(self) -> Health:
        """Who answers, and in which state."""
        found: Health = self._ask(Health, "GET", "/v1/health")
        return found

    # ── experiment ───────────────────────────────────────────────────────

    def create_run(self, new: NewRun) -> Run:
        """Starts a run; starting it again is the same run."""
        run: Run = self._ask(Run, "POST", "/v1/runs", new)
        return run

    def append_journal(self, run_id: str, batch: JournalBatch) -> Run:
        """Adds records to one of a run's journals, each once."""
        run: Run = self._ask(Run, "POST", f"/v1/runs/{part(run_id)}/journal", batch)
        return run

    def run(self, run_id: str) -> Run:
        """A run, by its identifier or the beginning of it."""
        run: Run = self._ask(Run, "GET", f"/v1/runs/{part(run_id)}")
        return run

    def runs(
        self,
        *,
        experiment: str | None = None,
        sort: str = "-started_at",
        limit: int = 50,
        cycle: str | None = None,
        where: str | None = None,
    ) -> RunList:
        """Runs that fit a filter, sorted, a minus sign for descending; ``.frame()`` is a DataFrame."""
        runs: list[Run] = self._ask(
            list[Run],
            "GET",
            "/v1/runs",
            experiment=experiment,
            sort=sort,
            limit=limit,
            cycle=cycle,
            where=where,
        )
        return RunList(runs)

    def history(self, run_id: str, metric: str) -> list[Point]:
        """A metric's curve."""
        points: list[Point] = self._ask(list[Point], "GET", f"/v1/runs/{part(run_id)}/curve", metric=metric)
        return points

    def artifacts(self, run_id: str) -> list[Artifact]:
        """The files that a run made."""
        found: list[Artifact] = self._ask(list[Artifact], "GET", f"/v1/runs/{part(run_id)}/artifacts")
        return found

    def media(self, run_id: str) -> list[Media]:
        """The files of a run that show something."""
        found: list[Media] = self._ask(list[Media], "GET", f"/v1/runs/{part(run_id)}/media")
        return found

    def fetch_file(self, run_id: str, file: str, path: Path) -> None:
        """Writes a file of a run to a local one, atomically."""
        target = f"/v1/runs/{part(run_id)}/file?{urlencode({'path': file})}"
        with replacing(path) as temporary, temporary.open("wb") as out:
            for piece in self._send("GET", target).body:
                out.write(piece)

    # ── blobs ────────────────────────────────────────────────────────────

    def put_blob(self, path: Path) -> str:
        """Keeps a file's bytes; returns their digest."""
        with path.open("rb") as file:
            return self.put_pieces(iter(lambda: file.read(1 << 20), b""))

    def put_pieces(self, pieces: Iterator[bytes]) -> str:
        """Keeps bytes that come piece by piece; returns their digest."""
        raw = self._send("POST", "/v1/blobs", pieces).read()
        digest: str = self._decode(raw, str, "/v1/blobs")
        return digest

    def fetch_blob(self, digest: str, path: Path) -> None:
        """Writes the bytes of a digest to a file, atomically."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            for piece in self._send("GET", f"/v1/blobs/{part(digest)}").body:
                file.write(piece)

    # ── data ─────────────────────────────────────────────────────────────

    def datasets(self) -> list[DatasetVersion]:
        """The latest version of each dataset."""
        found: list[DatasetVersion] = self._ask(list[DatasetVersion], "GET", "/v1/datasets")
        return found

    def add_data(self, name: str) -> DatasetVersion:
        """Makes a version of what a dataset's path holds now; the same version if nothing changed."""
        version: DatasetVersion = self._ask(
            DatasetVersion, "POST", f"/v1/datasets/{part(name)}/versions", actor=actor()
        )
        return version

    def data_log(self, name: str) -> list[DatasetVersion]:
        """A dataset's versions, newest first."""
        found: list[DatasetVersion] = self._ask(
            list[DatasetVersion], "GET", f"/v1/datasets/{part(name)}/versions"
        )
        return found

    def training_data(self, name: str, folder: Path | None = None) -> Path:
        """The rows that a training would see now, as a local Parquet file."""
        return self.training_rows(name, folder).path

    def training_rows(self, name: str, folder: Path | None = None) -> TrainingRows:
        """The rows that a training would see now, as a local Parquet file, and which they are."""
        target = (folder or Path(".treadle/cache/data")) / f"{name}.parquet"
        return self._rows(f"/v1/datasets/{part(name)}/training", target)

    def version_rows(self, version: DatasetVersion, folder: Path) -> TrainingRows:
        """All rows of a version of a dataset of ``treadle.toml``, as a local Parquet file."""
        target = folder / f"{version.ref}.parquet"
        return self._rows(f"/v1/datasets/{part(version.dataset)}/rows/v{version.number}", target)

    def _rows(self, path: str, target: Path) -> TrainingRows:
        answer = self._send("GET", path)
        with replacing(target) as temporary, temporary.open("wb") as file:
            for piece in answer.body:
                file.write(piece)
        told = unquote(answer.headers.get("treadle-input", ""))
        which = self._decode(told.encode(), DataInput, "/v1/datasets") if told else None
        return TrainingRows(target.resolve(), which)

    # ── registry ─────────────────────────────────────────────────────────

    def models(self, model: str | None = None) -> list[ModelVersion]:
        """Model versions, newest first."""
        found: list[ModelVersion] = self._ask(list[ModelVersion], "GET", "/v1/models", model=model)
        return found

    def model(self, ref: str) -> ModelVersion:
        """A version: ``flights/3``, ``flights@production``, ``flights@latest`` or ``flights``."""
        found: ModelVersion = self._ask(ModelVersion, "GET", "/v1/model", ref=ref)
        return found

    def reigns(self, model: str) -> list[Reign]:
        """What was in production when, oldest first."""
        found: list[Reign] = self._ask(list[Reign], "GET", f"/v1/models/{part(model)}/reigns")
        return found

    def timeline(self, model: str) -> list[Event]:
        """Every decision about a model, oldest first."""
        found: list[Event] = self._ask(list[Event], "GET", f"/v1/models/{part(model)}/timeline")
        return found

    def evaluation(self, evaluation_id: str) -> Evaluation:
        """What a gate found."""
        found: Evaluation = self._ask(Evaluation, "GET", f"/v1/evaluations/{part(evaluation_id)}")
        return found

    # ── monitor ──────────────────────────────────────────────────────────

    def send_predictions(self, model: str, batch: PredictionBatch) -> None:
        """Logs predictions; sending a batch twice is sending it once."""
        self._send("POST", f"/v1/predictions/{part(model)}", msgspec.json.encode(batch)).read()

    def send_segment(self, model: str, segment: str, rows: int, data: bytes) -> None:
        """Logs a segment of a replica's journal; sending it twice is sending it once."""
        path = f"/v1/predictions/{part(model)}/segments/{part(segment)}?rows={rows}"
        self._send("POST", path, data, {"Content-Type": "application/octet-stream"}).read()

    def send_labels(self, model: str, batch: LabelBatch) -> None:
        """Logs labels; sending a batch twice is sending it once."""
        self._send("POST", f"/v1/labels/{part(model)}", msgspec.json.encode(batch)).read()

    def ingest(self, model: str) -> list[DroppedFile]:
        """Takes in the predictions and labels that were dropped as files; says what became of each."""
        path = f"/v1/monitors/{part(model)}/ingest"
        found: list[DroppedFile] = self._ask(list[DroppedFile], "POST", path)
        return found

    def look(self, model: str) -> Tick:
        """Computes the windows that have ended, raises alerts, starts what they trigger."""
        found: Tick = self._ask(Tick, "POST", f"/v1/monitors/{part(model)}/look")
        return found

    def windows(self, model: str, since: datetime | None = None) -> list[WindowResult]:
        """What the monitors found, oldest first."""
        found: list[WindowResult] = self._ask(
            list[WindowResult],
            "GET",
            f"/v1/monitors/{part(model)}/windows",
            since=since.isoformat() if since else None,
        )
        return found

    def hindsight(
        self,
        model: str,
        as_of: datetime | None = None,
        since: datetime | None = None,
        recorded_by: datetime | None = None,
    ) -> list[Hindsight]:
        """How good past windows were, by what was known at a moment; without `since` the last."""
        times = {"as_of": as_of, "since": since, "recorded_by": recorded_by}
        query = {name: time.isoformat() for name, time in times.items() if time}
        path = f"/v1/monitors/{part(model)}/performance"
        found: list[Hindsight] = self._ask(list[Hindsight], "GET", path, **query)
        return found

    def alerts(self, model: str) -> list[Alert]:
        """The alerts raised, oldest first."""
        found: list[Alert] = self._ask(list[Alert], "GET", f"/v1/monitors/{part(model)}/alerts")
        return found

    def backfill(
        self, model: str, since: datetime, after: datetime | None = None, most: int | None = None
    ) -> Backfill:
        """Computes past windows again, those that ended later than ``after``, ``most`` of them or all."""
        path = f"/v1/monitors/{part(model)}/backfill"
        asked = {"since": since.isoformat(), "after": after.isoformat() if after else None}
        found: Backfill = self._ask(Backfill, "POST", path, **asked, most=most, actor=actor())
        return found

    def suggest_monitors(self, model: str) -> WrittenMonitors:
        """Monitors to declare, as lines of ``treadle.toml``, for a person to prune."""
        path = f"/v1/monitors/{part(model)}/suggestion"
        found: WrittenMonitors = self._ask(WrittenMonitors, "GET", path)
        return found

    # ── retrain ──────────────────────────────────────────────────────────

    def plan(self, new: NewCycle) -> Plan:
        """What a cycle would do; changes nothing."""
        found: Plan = self._ask(Plan, "POST", "/v1/plan", new)
        return found

    def start_cycle(self, new: NewCycle) -> Cycle:
        """Starts a cycle, which goes on by itself."""
        cycle: Cycle = self._ask(Cycle, "POST", "/v1/cycles", new)
        return cycle

    def resume(self) -> list[Cycle]:
        """Goes on with the cycles that were interrupted; returns them."""
        found: list[Cycle] = self._ask(list[Cycle], "POST", "/v1/cycles/resume")
        return found

    def cycle(self, cycle_id: str) -> Cycle:
        """A cycle as it stands."""
        found: Cycle = self._ask(Cycle, "GET", f"/v1/cycles/{part(cycle_id)}")
        return found

    def cycles(self, model: str | None = None) -> list[Cycle]:
        """Cycles, oldest first."""
        found: list[Cycle] = self._ask(list[Cycle], "GET", "/v1/cycles", model=model)
        return found

    def replay(self) -> ReplayState | None:
        """The replay under way, if any."""
        found: ReplayState | None = self._ask(ReplayState | None, "GET", "/v1/replay")
        return found

    def start_replay(self, at: datetime) -> ReplayState:
        """Sets the workspace's clock to a moment in the past of its data."""
        found: ReplayState = self._ask(ReplayState, "POST", "/v1/replay", at=at.isoformat())
        return found

    def step_replay(self, until: datetime) -> ReplayStep:
        """Replays what happened up to a moment."""
        found: ReplayStep = self._ask(ReplayStep, "POST", "/v1/replay/step", until=until.isoformat())
        return found

    def stop_replay(self) -> None:
        """Gives the workspace the machine's clock again."""
        self._send("DELETE", "/v1/replay").read()

    def report_page(self, model: str) -> bytes:
        """A model's history as a self-contained HTML page."""
        return self._send("GET", f"/v1/models/{part(model)}/report").read()

    def prometheus_rules(self) -> bytes:
        """Recording and alerting rules for Prometheus, as YAML."""
        return self._send("GET", "/v1/infra/prometheus").read()

    def grafana_dashboard(self) -> bytes:
        """A Grafana dashboard of the inference servers, as JSON."""
        return self._send("GET", "/v1/infra/grafana").read()

    # ── govern ───────────────────────────────────────────────────────────

    def spending(self, model: str) -> Spending:
        """What was spent in the last 30 days."""
        found: Spending = self._ask(Spending, "GET", f"/v1/models/{part(model)}/spending")
        return found


def part(name: str) -> str:
    """A name as one part of a path.

    Raises:
        InvalidInput: If it can't be one: a path with it would lead elsewhere.
    """
    if name in {"", ".", ".."} or "/" in name:
        raise InvalidInput(f"{name!r} can't be a name", fix="see `treadle --help` for what lists the names")
    return quote(name, safe="")


def actor() -> str:
    """Who is asking: the user of this machine."""
    return os.environ.get("TREADLE_ACTOR") or os.environ.get("USER") or _user()


def _user() -> str:
    """The process's user by name; by number where no database knows it, as in some containers."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid:{os.getuid()}"
