"""Every route, once, with its real effect: in this process and over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from api.incident_routes import of_incidents
from api.load_test_routes import of_load_tests
from api.payload_routes import of_payloads
from api.retraining_routes import of_retraining
from live import AT, BY_HAND, Recorder, make, turn, until, up
from treadle.api.raw import RAW_ROUTES
from treadle.api.routes import ROUTES
from treadle.client import Client
from treadle.client.client import actor
from treadle.client.http import HttpTransport
from treadle.client.inprocess import InProcessTransport
from treadle.data import (
    AddPath,
    ChangePaths,
    ChangeRows,
    Checkout,
    Decision,
    DeleteVersions,
    Fetch,
    ImportBucket,
    ImportVersion,
    Merge,
    MergeReview,
    MergeRows,
    NewConstraint,
    NewReview,
    PruneVersions,
    Pull,
    Push,
    RefSettings,
    RestoreTable,
    RestoreVersions,
    Revert,
    ReviewChange,
    Rows,
    Source,
    VacuumTable,
    Verify,
    Who,
    WriteRows,
)
from treadle.data.tree.types import Entry
from treadle.deploy import ArmCounts, ReplicaReport, TrialReport
from treadle.evaluate import CheckRequest, ForeignSuite
from treadle.experiment import (
    Check,
    ExperimentCopy,
    ImportModel,
    ImportRun,
    JournalBatch,
    LogArtifact,
    LoggedModel,
    LogMetrics,
    MediaInfo,
    NewRun,
    RunCopy,
)
from treadle.govern import Collect
from treadle.kernel.errors import Conflict, Deleted, InvalidInput, NotFound, Refused
from treadle.monitor import Answered, LabelBatch, PredictionBatch, SegmentEncoder
from treadle.registry import CatalogModel, ImportCatalogModel, NewCardText, Registration
from treadle.retrain import NewCycle

MORE = """
[registry]
approval = "manual"

[data.sales]
path = "lake/sales"
format = "delta"
key = "id"

[retrain.triggers.ci]
on = "webhook"
secret = "CELLAR_SECRET"
"""


@pytest.fixture(params=["in process", "http"])
def recorder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Recorder]:
    monkeypatch.setenv("CELLAR_SECRET", "cork")
    root = make(tmp_path / "toy", more=MORE)
    if request.param == "http":
        with up(root) as running:
            made = Recorder(HttpTransport(running.url))
            yield made
            made.close()
    else:
        made = Recorder(InProcessTransport(root))
        yield made
        made.close()


def test_every_route_does_what_it_says(recorder: Recorder, tmp_path: Path) -> None:
    client = Client(recorder)
    _server(client)
    _experiment(client, tmp_path)
    _moved_and_deleted(client)
    _data(client, tmp_path)
    _checks(client)
    _came_and_went(client)
    _a_version(client)
    of_retraining(client)
    _told_and_sent(client, tmp_path)
    _traffic(client)
    _back_to_today(client)
    routes = {(route.method, route.path) for route in (*ROUTES, *RAW_ROUTES)}
    called = {
        (method, path)
        for method, path in routes
        if any(m == method and re.fullmatch(_pattern(path), p) for m, p in recorder.asked)
    }
    assert routes - called == set()


def _pattern(path: str) -> str:
    return re.sub(r"{\w+}", "[^/]+", re.sub(r"{\w+:path}", ".+", path))


def _server(client: Client) -> None:
    assert (client.health().project, client.health().replaying) == ("toy", False)
    assert client.datasets() == []
    assert client.replay() is None
    assert client.start_replay(AT).at == AT
    assert client.replay().at == AT
    assert client.health().now == AT


def _experiment(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "plot.bin"
    file.write_bytes(bytes(range(256)) * 20_000)
    digest = client.put_blob(file)
    client.fetch_blob(digest, tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == file.read_bytes()

    assert client.create_run(NewRun(id="run_1", name="one", started_at=AT)).status == "running"
    records = [LogMetrics(AT.timestamp(), {"auc": 0.7}, 3), LogArtifact("plot.bin", 5_120_000, digest)]
    assert client.append_journal("run_1", JournalBatch(0, records)).applied == 2
    assert client.append_journal("run_1", JournalBatch(0, records)).applied == 2
    assert client.run("run_").metrics == {"auc": 0.7}
    assert [run.id for run in client.runs(experiment="default", sort="-metrics.auc", limit=5)] == ["run_1"]
    assert [run.id for run in client.runs(where="metrics.auc > 0.6")] == ["run_1"]
    assert client.runs(where="metrics.auc > 0.7 and params.depth = '3'") == []
    assert [(point.step, point.value) for point in client.history("run_1", "auc")] == [(3, 0.7)]
    assert [artifact.digest for artifact in client.artifacts("run_1")] == [digest]
    shown = LogArtifact("media/plot/3.png", 5_120_000, digest, MediaInfo("plot", "plot", 3, "a plot"))
    assert client.append_journal("run_1", JournalBatch(0, [shown], "rank1")).applied == 1
    assert [(one.path, one.info.caption, one.digest) for one in client.media("run_1")] == [
        ("media/plot/3.png", "a plot", digest)
    ]
    client.fetch_file("run_1", "media/plot/3.png", tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == file.read_bytes()
    assert client.compare(["run_1"]).metrics == {"auc": [0.7]}
    assert client.compare_curves(["run_1"], "auc").curves[0].x == [3.0]
    assert client.compare_code("run_1", "run_1").commits == (None, None)
    assert client.importance("auc", where="metrics.auc > 0.6").reason == "too_few_runs"
    assert list(client.sql("SELECT run, value FROM metrics")) == [("run_1", 0.7)]
    assert "points" in [table.name for table in client.sql_tables()]
    client.sql_parquet("SELECT * FROM runs", tmp_path / "runs.parquet")
    assert pq.read_table(tmp_path / "runs.parquet").num_rows == 1
    assert b"<title>1 run side by side" in client.comparison_page(["run_1"])


def _checks(client: Client) -> None:
    plan = client.plan_checks(CheckRequest(data="rows"))
    assert {one.check for one in plan.planned} >= {"schema", "min_rows"}
    found = client.check(CheckRequest(data="rows", only=("data",)))
    assert client.check(CheckRequest(data="rows")).kept == (found.evaluations[0].id,)
    [last, first] = client.check_jobs()
    assert (first.result, last.state, first.actor) == (client.check_job(first.id).result, "done", actor())
    assert client.cancel_check(first.id) == first  # it has ended
    assert client.evaluations("rows", 1) == list(found.evaluations)
    names = [one.id for one in found.evaluations]
    assert client.check_report(names, "junit").startswith(b"<?xml")
    assert "[checks.data]" in client.suggest_checks("rows").toml
    taken = client.import_checks(ForeignSuite(text='{"expectations": []}'))
    assert (taken.toml, taken.unsaid) == ("[checks.data]\n", ())
    with pytest.raises(InvalidInput, match="`evaluation` is missing"):
        client.check_report([], "html")


def _came_and_went(client: Client) -> None:
    sent = client.put_contents("moved", [b"a", b"b"])
    listing = [Entry("one", 1, sent.digests[0]), Entry("two", 1, sent.digests[1])]
    taken_in = ImportVersion(
        dataset="moved",
        listing=client.put_pieces(iter([msgspec.json.encode(listing)])),
        packs=sent.packs,
        identity=Source("there", "1"),
        actor="ana",
        at=AT,
    )
    assert client.import_version(taken_in) == client.import_version(taken_in)
    with pytest.raises(InvalidInput, match="names no bucket"):
        client.import_bucket(ImportBucket(dataset="moved", url="ftp://there/folder"))
    archive = client.data_archive("moved@v1")
    assert (archive.version.created_at, archive.version.actor) == (AT, "ana")
    assert [(entry.path, b"".join(pieces)) for entry, pieces in archive] == [("one", b"a"), ("two", b"b")]


def _moved_and_deleted(client: Client) -> None:
    home = client.import_experiment(ExperimentCopy(id="7", name="moved", created_at=AT, updated_at=AT))
    copy = RunCopy(id="a" * 32, experiment=home.id, name="old", status="finished", started_at=AT, ended_at=AT)
    taken = client.import_runs([ImportRun(source="there", stamp="1", run=copy)])
    assert ([one.id for one in taken.done], taken.refused) == ([copy.id], [])
    model = LoggedModel(
        id=f"m-{'b' * 32}", experiment=home.id, name="net", artifacts="", created_at=AT, updated_at=AT
    )
    assert client.import_logged_model(ImportModel(source="there", stamp="1", model=model)).added
    assert {one.id for one in client.imported("there")} == {copy.id, model.id}
    assert [one.id for one in client.check_imported(Check(runs=[copy.id]))] == [copy.id]
    registered = CatalogModel(name="moved", created_at=AT, updated_at=AT)
    assert client.import_registered_model(ImportCatalogModel(model=registered)).name == "moved"

    client.delete_logged_model(model.id)
    client.restore_logged_model(model.id)
    client.delete_experiment("moved")
    client.restore_experiment("moved")
    client.delete_run(copy.id)
    client.restore_run(copy.id)
    client.delete_run(copy.id)
    told = client.collect(Collect(older_than=0))
    assert (told.applied, told.runs) == (False, 1)
    assert client.run(copy.id).lifecycle == "deleted"


def _data(client: Client, tmp_path: Path) -> None:
    version = client.add_data("rows")
    assert (version.rows, client.add_data("rows")) == (14_400, version)
    assert client.datasets() == client.data_log("rows") == [version]
    trained_on = pq.read_table(client.training_data("rows", tmp_path))
    assert 0 < trained_on.num_rows < version.rows
    assert pq.read_table(client.version_rows(version, tmp_path).path).num_rows == version.rows
    assert client.data_lineage("rows", "v1").made_of == ()
    _working_tree(client)
    _deleted_data(client)
    _paths(client)
    _table(client)


def _deleted_data(client: Client) -> None:
    found = client.prune_data("images", PruneVersions(keep_last=1))
    assert (found.applied, len(found.versions), found.others) == (False, 4, 2)
    with pytest.raises(Conflict, match=r"it is in use; nothing was deleted: branch main stands"):
        client.delete_data("images", DeleteVersions(versions=("v6",)))
    done = client.delete_data("images", DeleteVersions(versions=("v1",), reason="old"))
    assert [one.ref for one in done.versions] == ["images@v1"]
    assert client.data_version("images", "v1").deleted_reason == "old"
    with pytest.raises(Deleted, match="images@v1 was deleted by"):
        client.data_entry("images", "v1", "one.png")
    assert [one.ref for one in client.restore_data("images", RestoreVersions())] == ["images@v1"]


def _working_tree(client: Client) -> None:
    root = Path(client.health().root)
    (root / "images").mkdir()
    (root / "images" / "one.png").write_bytes(b"one")
    first = client.add_path(AddPath(path="images"))
    assert (first.ref, first.count, first.bytes) == ("images@v1", 1, 3)
    (root / "images" / "one.png").write_bytes(b"other")
    [status] = client.data_status()
    assert (status.path, status.modified, status.clean) == ("images", 1, False)
    [done] = client.checkout_data(Checkout(paths=("images",), force=True))
    assert (done.written, (root / "images" / "one.png").read_bytes()) == (1, b"one")
    _remotes(client, root)
    _branches(client, root)
    _reviews(client, root)


def _reviews(client: Client, root: Path) -> None:
    client.create_data_ref("images", "branch", "exp/three")
    client.checkout_data(Checkout(paths=("images",), ref="exp/three", force=True))
    (root / "images" / "three.png").write_bytes(b"three")
    client.add_path(AddPath(path="images", branch="exp/three"))
    settings = RefSettings(protected=True, approvals=1, checks=("volume",))
    client.protect_data("images", "main", settings)
    opened = client.open_data_review("images", NewReview(source="exp/three", title="A third"))
    assert (opened.ref, opened.author) == ("images#1", actor())
    assert client.data_reviews("images", "open") == [opened]
    with pytest.raises(InvalidInput, match="a review can't be 'opened'"):
        client.data_reviews("images", "opened")
    assert client.comment_on_data("images", 1, "why?", "three.png").body.path == "three.png"
    with pytest.raises(Refused, match="can't approve it"):
        client.decide_data_review("images", 1, Decision(decision="approved"))
    with pytest.raises(Conflict, match="1 approval is needed"):
        client.merge_data_review("images", 1, MergeReview())
    assert client.change_data_review("images", 1, ReviewChange(state="closed")).state == "closed"
    assert client.change_data_review("images", 1, ReviewChange(state="open")).state == "open"
    client.protect_data("images", "main", RefSettings(protected=True, checks=("volume",)))
    assert client.check_data_review("images", 1).body.gates[0].outcome == "pass"
    found = client.data_review("images", 1, rows=True)
    assert (found.standing.blockers, [one.path for one in found.diff.paths]) == ((), ["three.png"])
    assert client.merge_data_review("images", 1, MergeReview(message="in")).version.message == "in"
    client.protect_data("images", "main", RefSettings())


def _remotes(client: Client, root: Path) -> None:
    (root.parent / "elsewhere").mkdir()
    with pytest.raises(NotFound, match="the project has no remote"):
        client.push_data(Push(refs=("images",)))
    with pytest.raises(NotFound, match="the project has no remote"):
        client.fetch_data(Fetch(refs=("images",)))
    with pytest.raises(NotFound, match="the project has no remote"):
        client.pull_data(Pull(paths=("images",)))
    found = client.verify_data(Verify(refs=("images",)))
    assert (found.versions, found.files, found.damaged) == (1, 1, 0)


def _branches(client: Client, root: Path) -> None:
    assert client.create_data_ref("images", "branch", "exp/two").number == 1
    assert client.create_data_ref("images", "tag", "best", "v1").kind == "tag"
    (root / "images" / "two.png").write_bytes(b"two")
    assert client.add_path(AddPath(path="images", branch="exp/two")).ref == "images@v2"
    found = client.data_diff("images", "main", "exp/two")
    assert (found.added, [(one.path, one.kind) for one in found.paths]) == (1, [("two.png", "added")])
    assert client.plan_data_merge("images", Merge(source="exp/two")).added == 1
    settings = RefSettings(protected=True, approvals=1)
    assert client.protect_data("images", "main", settings).settings == settings
    with pytest.raises(Conflict, match="protected"):
        client.merge_data("images", Merge(source="exp/two"))
    client.protect_data("images", "main", RefSettings())
    merged = client.merge_data("images", Merge(source="exp/two")).version
    assert (merged.ref, len(merged.parents)) == ("images@v3", 2)
    assert client.data_version("images", "main") == merged
    assert [one.number for one in client.data_history("images")] == [3, 2, 1]
    assert client.revert_data("images", Revert(version="best", restore=True)).count == 1
    for kind, name in (("branch", "exp/two"), ("tag", "best")):
        assert name in [ref.name for ref in client.data_refs("images", kind)]
        client.delete_data_ref("images", kind, name)
        assert name not in [ref.name for ref in client.data_refs("images", kind)]


def _paths(client: Client) -> None:
    sent = client.put_contents("texts", [b"alpha"])
    asked = ChangePaths(put=(Entry("d/a", 5, sent.digests[0]),), packs=sent.packs)
    assert client.change_data("texts", asked).ref == "texts@v1"
    assert client.data_entry("texts", "main", "d/a").digest == sent.digests[0]
    assert [(one.path, one.kind) for one in client.data_paths("texts")] == [("d", "folder")]
    assert b"".join(client.read_data("texts", "v1", "d/a", 1, 3)) == b"lp"


def _table(client: Client) -> None:
    rows = Rows(sql="SELECT i AS id, i * 2 AS amount FROM range(10) t(i)")
    assert client.create_table("sales", WriteRows(rows=rows, by=Who(message="new"))).version == 0
    assert client.append_rows("sales", WriteRows(rows=Rows(sql="SELECT 10 AS id, 5 AS amount"))).added == 1
    again = Rows(sql="SELECT 3 AS id, 0 AS amount")
    assert client.merge_rows("sales", MergeRows(rows=again, key=("id",))).updated == 1
    assert client.change_rows("sales", ChangeRows(where="id = 4")).deleted == 1
    [constraint] = client.add_constraint("sales", NewConstraint(name="some", check="amount >= 0")).constraints
    assert constraint.name == "some"
    assert client.drop_constraint("sales", "some").constraints == ()
    found = client.table_diff("sales", "0", "3", key=("id",))
    assert (found.added, found.removed, found.changed) == (1, 1, 1)
    assert client.restore_table("sales", RestoreTable(to="0")).version == 6
    assert (client.table("sales").rows, client.table("sales", "3").rows) == (10, 10)
    assert client.vacuum_table("sales", VacuumTable(older_than="0")).files
    newest, *_, first = client.table_history("sales", 10)
    assert (newest.operation, first.message, first.actor) == ("RESTORE", "new", actor())


def _told_and_sent(client: Client, folder: Path) -> None:
    assert client.card_texts("toy") == []
    part = NewCardText(section="limits", text="Snow.", over=0)
    assert [(one.text, one.actor) for one in client.write_card("toy", [part])] == [("Snow.", actor())]
    assert b"Snow." in client.model_card("toy/1", "html")
    assert client.model_card("toy/1", "md").startswith(b"# toy/1")
    size = client.export_model("toy/1", folder / "toy.tar")
    assert (folder / "toy.tar").stat().st_size == size
    assert client.import_model(folder / "toy.tar") == client.model("toy/1"), "it is here already"
    moved = client.import_model(folder / "toy.tar", "elsewhere")
    assert (moved.ref, moved.id) == ("elsewhere/1", client.model("toy/1").id)
    assert moved.imported is not None
    assert moved.imported.actor == actor()
    (folder / "toy.tar").write_bytes(b"not a tar")
    with pytest.raises(InvalidInput, match="no archive"):
        client.import_model(folder / "toy.tar")


def _a_version(client: Client) -> None:
    asked = NewCycle(trigger=BY_HAND)
    assert client.plan(asked).problems == ()
    assert client.cycles() == []
    held = turn(client)
    assert (held.state, held.version) == ("held", 1), held.error
    assert client.cycles("toy") == [held]
    assert client.resume() == []
    assert client.spending("toy").cpu_seconds > 0

    assert [(version.ref, version.status) for version in client.models("toy")] == [("toy/1", "candidate")]
    assert [client.evaluation(one).outcome for one in held.evaluations] == ["pass", "pass"]
    assert client.reigns("toy") == []
    assert client.standing("toy/1").needed == 0
    done = client.approve("toy/1", "looks good")
    assert (done.revision.reason, done.standing.status) == ("looks good", "production")
    assert [one.reason for one in client.withdraw_approval("toy/1", "mistaken").approvals] == ["looks good"]
    assert client.model("toy@production").number == 1
    assert [one.kind for one in client.lineage("toy/1").made_of] == ["run", "version", "version"]
    assert [reign.version for reign in client.reigns("toy")] == [1]
    assert [one.ref for one in client.in_production("toy")] == ["toy/1"]
    assert client.set_alias("toy/1", "champion").aliases == ("champion",)
    assert client.tag_model("toy@champion", "team", "cellar").tags == {"team": "cellar"}
    assert client.untag_model("toy@champion", "team").tags == {}
    assert client.delete_alias("toy", "champion").aliases == ()
    with pytest.raises(NotFound, match="no alias of toy 'champion'"):
        client.model("toy@champion")
    again = client.register_model(Registration(run=client.model("toy/1").run, licence="MIT"))
    assert (again.ref, again.licence, again.signature) == ("toy/2", "MIT", client.model("toy/1").signature)
    with pytest.raises(Conflict, match="that is production can't become archived"):
        client.archive("toy/1", "too old")
    with pytest.raises(Conflict, match="that is production can't become refused"):
        client.refuse("toy/1", "too late")
    assert {"deployed", "promoted"} <= {event.kind for event in client.timeline("toy")}


def _traffic(client: Client) -> None:
    later = AT + timedelta(days=2)
    if client.embedded:
        with pytest.raises(Conflict, match="nothing serves toy"):
            client.step_replay(later)
        report = ReplicaReport(replica="mine", model="toy", url="http://127.0.0.1:9", revision=1)
        wanted = client.report(report)
        assert wanted.revision == 1
        assert client.report_all([report]) == [wanted]
    else:
        until(lambda: client.deployment("toy").replicas)
        step = client.step_replay(later)
        assert (step.failed, client.replay().at) == (0, later)
        assert step.rows > 0
        mine = ReplicaReport(replica="mine", model="toy", url="http://127.0.0.1:9")
        wanted = client.report(mine)
        assert wanted.revision == 1
        assert client.report_all([mine]) == [wanted]
    assert client.deployment("toy").serving.revision == 1
    assert client.desired("toy") == wanted

    inputs = {"hour": [1.0], "carrier": ["AA"]}
    one = PredictionBatch(
        batch="b", ids=["x"], at=[AT.timestamp()], version=[1], revision=[1], inputs=inputs,
        outputs=[0.5], latency_ms=[1.0],
    )  # fmt: skip
    client.send_predictions("toy", one)
    with pytest.raises(Conflict, match="other rows were sent as batch 'b'"):
        client.send_predictions("toy", msgspec.structs.replace(one, outputs=[0.6]))
    record = Answered(["y"], [AT.timestamp()], 1, 1, ("hour", "carrier"), [0.5], [1.0], [[2.0, None]])
    client.send_segment("toy", "segment_1", 1, SegmentEncoder().encode(record))
    with pytest.raises(InvalidInput, match="of its 2 predictions 1 can be read"):
        client.send_segment("toy", "segment_2", 2, SegmentEncoder().encode(record))
    of_payloads(client)
    client.send_labels("toy", LabelBatch(batch="l", ids=["x"], values=[1], known_at=[AT.timestamp()]))
    assert client.look("toy").cycle is None
    assert client.windows("toy", AT) == client.alerts("toy") == []
    assert client.ingest("toy") == client.hindsight("toy", AT) == []
    assert client.backfill("toy", AT).windows + client.suggest_monitors("toy").toml.count("[monitor]") == 1
    of_incidents(client)
    of_load_tests(client)

    assert client.deployment_plan("toy/1", "canary").plan.strategy == "canary"
    assert client.deploy("toy/1", "try it", "shadow").state == "trial"
    assert client.deployment("toy").rollout.shadow
    assert client.withdraw_trial("toy", "seen enough").state == "failed"
    assert client.deploy("toy/1", "try it again", "challenger").state == "trial"
    if client.embedded:
        with pytest.raises(Conflict, match="waits for any of 1 replicas to load it"):
            client.promote("toy", "it is the same")
        seen = TrialReport(revision=3, process="p", trial=ArmCounts(), beside=ArmCounts())
        client.report(msgspec.structs.replace(report, trial=seen))
    else:
        until(lambda: any(one.trial and one.trial.revision == 3 for one in client.deployment("toy").replicas))
    assert client.promote("toy", "it is the same").state == "pending"
    assert (client.deploy("toy/1", "once more").revision, client.environments("toy")) == (4, [])
    reasons = "looks good, try it, try it again, once more"
    assert ", ".join(revision.reason for revision in client.revisions("toy")) == reasons
    assert client.report_page("toy").startswith(b"<!")
    assert b'absent(treadle_model_info{model=\\"toy\\"})' in client.prometheus_rules()
    assert msgspec.json.decode(client.grafana_dashboard())["uid"].startswith("treadle-")


def _back_to_today(client: Client) -> None:
    client.stop_replay()
    assert (client.replay(), client.health().replaying) == (None, False)
    assert msgspec.json.decode(client._send("GET", "/openapi.json").read())["info"]["title"] == "Treadle"
