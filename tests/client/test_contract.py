"""One contract for both ways in: the same answers, and the same errors as the class they were raised as."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from live import AT, BY_HAND, Up
from treadle.client import Client
from treadle.data import Merge, NewReview
from treadle.experiment import JournalBatch, LogMetrics, LogParams, NewRun
from treadle.kernel.errors import Busy, Conflict, InvalidInput, NotFound, TreadleError
from treadle.monitor import InferenceEvent, LabelBatch
from treadle.retrain import NewCycle

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)  # what others look for first stays first
READS: dict[str, Callable[[Client], Any]] = {
    "prometheus_rules": lambda client: client.prometheus_rules(),
    "grafana_dashboard": lambda client: client.grafana_dashboard(),
    "alerts": lambda c: c.alerts("toy"),
    "incidents": lambda c: c.incidents("toy", "open"),
    "mutes": lambda c: c.mutes("toy"),
    "artifacts": lambda c: c.artifacts(c.runs()[0].id),
    "card_texts": lambda c: (c.card_texts("toy"), c.card_texts("toy", history=True)),
    "compare_code": lambda c: c.compare_code(c.runs()[0].id, c.runs()[1].id),
    "compare_curves": lambda c: c.compare_curves([run.id for run in c.runs()], "loss", by="time", points=9),
    "comparison_page": lambda c: c.comparison_page([run.id for run in c.runs()], metric="loss"),
    "importance": lambda c: c.importance("loss", where="metrics.loss > 0"),
    "compare": lambda c: c.compare([run.id for run in c.runs()]),
    "cycle": lambda c: c.cycle(c.cycles()[0].id),
    "cycles": lambda c: c.cycles("toy"),
    "data_status": lambda c: c.data_status(),
    "data_entry": lambda c: c.data_entry("rows", "v1", "rows.parquet"),
    "data_paths": lambda c: c.data_paths("rows", "v1", deep=True),
    "data_diff": lambda c: c.data_diff("rows", "v1", "main", rows=True),
    "data_lineage": lambda c: c.data_lineage("rows", "main"),
    "data_history": lambda c: c.data_history("rows", "main"),
    "data_refs": lambda c: (c.data_refs("rows"), c.data_refs("rows", "tag")),
    "data_reviews": lambda c: c.data_reviews("rows", "open"),
    "data_version": lambda c: c.data_version("rows", "v1"),
    "plan_data_merge": lambda c: c.plan_data_merge("rows", Merge(source="v1")),
    "data_log": lambda c: c.data_log("rows"),
    "datasets": lambda c: c.datasets(),
    "deployment": lambda c: c.deployment("toy").desired,
    "deployment_plan": lambda c: c.deployment_plan("toy/1", "canary"),
    "desired": lambda c: c.desired("toy"),
    "evaluation": lambda c: [c.evaluation(one) for one in c.cycles()[0].evaluations],
    "in_production": lambda c: (c.in_production("toy"), c.in_production("toy", LONG_AGO)),
    "imported": lambda c: list(c.imported("nowhere")),
    "history": lambda c: c.history(c.runs()[0].id, "loss"),
    "lineage": lambda c: c.lineage("toy@production"),
    "load_tests": lambda c: (c.load_tests("toy"), c.load_tests("toy", 1)),
    "media": lambda c: c.media(c.runs()[0].id),
    "model": lambda c: c.model("toy@production"),
    "models": lambda c: c.models(),
    "environments": lambda c: c.environments("toy"),
    "plan": lambda c: c.plan(NewCycle(trigger=BY_HAND)),
    "reigns": lambda c: c.reigns("toy"),
    "replay": lambda c: c.replay(),
    "challenger": lambda c: c.challenger("toy"),
    "retrain_plan": lambda c: c.retrain_plan("toy"),
    "revisions": lambda c: c.revisions("toy"),
    "run": lambda c: c.run(c.runs()[0].id),
    "runs": lambda c: c.runs(sort="-metrics.loss", limit=2),
    "sql": lambda c: list(c.sql("SELECT name, value, logged_at FROM metrics ORDER BY ALL")),
    "sql_tables": lambda c: c.sql_tables(),
    "spending": lambda c: c.spending("toy"),
    "timeline": lambda c: c.timeline("toy"),
    "evaluations": lambda c: (c.evaluations(), c.evaluations("toy/1", 1)),
    "windows": lambda c: (c.windows("toy"), c.windows("toy", AT)),
}
ERRORS: dict[str, tuple[type[TreadleError], Callable[[Client], Any]]] = {
    "no such run": (NotFound, lambda c: c.run("nope")),
    "no such model": (NotFound, lambda c: c.model("toi/1")),
    "reigns of no model": (NotFound, lambda c: c.reigns("toi")),
    "a timeline of no model": (NotFound, lambda c: c.timeline("toi")),
    "spending on no model": (NotFound, lambda c: c.spending("toi")),
    "a challenger of no model": (NotFound, lambda c: c.start_challenger("toi", 1, "why not")),
    "a challenger of no version": (NotFound, lambda c: c.start_challenger("toy", 9, "why not")),
    "a challenger for no reason": (InvalidInput, lambda c: c.start_challenger("toy", 1, "")),
    "no challenger to stop": (Conflict, lambda c: c.stop_challenger("toy", "seen enough")),
    "a retraining of no model": (NotFound, lambda c: c.retrain_plan("toi")),
    "a webhook that nobody declared": (NotFound, lambda c: c.trigger("toy", "secret")),
    "no trial to promote": (NotFound, lambda c: c.promote("toy", "better")),
    "no trial to take back": (NotFound, lambda c: c.withdraw_trial("toy", "worse")),
    "no such strategy": (InvalidInput, lambda c: c.deployment_plan("toy/1", "slow")),
    "no such dataset": (NotFound, lambda c: c.add_data("row")),
    "no such blob": (NotFound, lambda c: c.fetch_blob("0" * 64, Path("never"))),
    "no such cycle": (NotFound, lambda c: c.cycle("nope")),
    "an empty name": (InvalidInput, lambda c: c.run("")),
    "a name that is a path": (InvalidInput, lambda c: c.run("../models")),
    "a name that is dots": (InvalidInput, lambda c: c.cycle("..")),
    "a name with a question": (NotFound, lambda c: c.run("a?limit=1#x y%20ü")),
    "a wrong order": (InvalidInput, lambda c: c.runs(sort="colour")),
    "too many": (InvalidInput, lambda c: c.runs(limit=100_000)),
    "nothing to compare": (InvalidInput, lambda c: c.compare([])),
    "wrong sql": (InvalidInput, lambda c: c.sql("SELECT nothing FROM runs")),
    "no curve": (NotFound, lambda c: c.compare_curves([c.runs()[0].id], "lost")),
    "code of a run that is none": (NotFound, lambda c: c.compare_code(c.runs()[0].id, "nope")),
    "a gap in a journal": (
        Conflict,
        lambda c: c.append_journal(c.runs()[0].id, JournalBatch(10_000, [LogParams({"a": 1})])),
    ),
    "a label that is none": (
        InvalidInput,
        lambda c: c.send_labels("toy", LabelBatch(batch="b", ids=["x"], values=[7.0], known_at=[0.0])),
    ),
    "an inference event that is none": (
        InvalidInput,
        lambda c: c.send_inference_event("toy", InferenceEvent(id="fünf", side="request", body=b"{}")),
    ),
    "a replay in a replay": (Conflict, lambda c: c.start_replay(AT)),
    "back in time": (InvalidInput, lambda c: c.step_replay(AT - timedelta(days=1))),
    "no such incident": (NotFound, lambda c: c.incident("toy-9")),
    "no state of incidents": (InvalidInput, lambda c: c.incidents("toy", "closed")),
    "no such review": (NotFound, lambda c: c.data_review("rows", 9)),
    "a review of itself": (
        InvalidInput,
        lambda c: c.open_data_review("rows", NewReview(source="main", title="x")),
    ),
    "approved before": (Conflict, lambda c: c.approve("toy/1", "again")),
}


@pytest.fixture(scope="module")
def both(live: Up) -> Iterator[tuple[Client, Client]]:
    with Client.http(live.url) as http, Client.in_process(live.root) as here:
        yield http, here


def test_the_reads_are_all_of_the_client() -> None:
    """A method that is new belongs into the contract."""
    does = {
        "add_data", "append_journal", "approve", "close", "create_run", "deploy", "fetch_blob", "fetch_file",
        "promote", "withdraw_trial", "load_test",
        "start_load_test", "required_load_test", "load_test_job", "cancel_load_test",
        "http",
        "in_process", "look", "put_blob", "report", "report_all", "resume", "send_labels", "send_predictions",
        "send_segment", "send_inference_event",
        "start_cycle", "start_replay", "step_replay", "stop_replay", "training_data", "training_rows",
        "version_rows",
        "report_page", "health", "check", "check_report", "plan_checks", "import_checks", "suggest_checks",
        "backfill", "ingest", "hindsight", "unpaired_events",
        "suggest_monitors",  # the project that is only read has no profile
        "cancel_check", "check_job", "check_jobs", "start_check",
        "sql_parquet", "put_pieces",
        "check_imported", "import_experiment", "import_logged_model", "import_registered_model",
        "import_runs",
        "collect", "delete_experiment", "delete_logged_model", "delete_run",
        "add_path", "checkout_data", "push_data", "fetch_data", "pull_data", "verify_data",
        "create_data_ref", "delete_data_ref", "merge_data", "protect_data", "revert_data",
        "incident", "incident_page", "deliveries", "change_incident", "mute", "unmute", "test_notices",
        "data_review",  # the project that is only read has none
        "change_data_review", "check_data_review", "comment_on_data", "decide_data_review",
        "merge_data_review", "open_data_review",
        "add_constraint", "append_rows", "change_rows", "create_table", "drop_constraint", "merge_rows",
        "restore_table", "table", "table_diff", "table_history", "vacuum_table",
        "data_archive", "import_bucket", "import_version", "put_contents",
        "change_data", "read_data",
        "delete_alias", "register_model", "set_alias", "standing", "tag_model", "untag_model",
        "withdraw_approval",
        "model_card", "write_card", "export_model", "import_model",
        "archive", "refuse", "delete_data", "prune_data", "restore_data",
        "restore_experiment", "restore_logged_model", "restore_run",
        "retrain", "trigger", "start_challenger", "stop_challenger",
    }  # fmt: skip
    methods = {name for name, _ in inspect.getmembers(Client, inspect.isroutine) if not name.startswith("_")}
    assert methods - does == set(READS)


@pytest.mark.parametrize("name", READS)
def test_the_same_answers(name: str, both: tuple[Client, Client]) -> None:
    http, here = (READS[name](client) for client in both)
    assert http == here
    assert type(http) is type(here)


@pytest.mark.parametrize("name", ERRORS)
def test_the_same_errors(name: str, both: tuple[Client, Client], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    kind, ask = ERRORS[name]
    told = []
    for client in both:
        with pytest.raises(TreadleError) as caught:
            ask(client)
        assert type(caught.value) is kind
        told.append((caught.value.message, caught.value.where, caught.value.fix))
    assert told[0] == told[1]
    assert list(tmp_path.iterdir()) == []


def test_the_same_page_and_the_same_data(both: tuple[Client, Client], tmp_path: Path) -> None:
    http, here = both
    assert http.report_page("toy").startswith(b"<!")
    assert here.report_page("toy").startswith(b"<!")
    one, other = http.training_data("rows", tmp_path / "a"), here.training_data("rows", tmp_path / "b")
    assert one.read_bytes() == other.read_bytes()
    which = http.training_rows("rows", tmp_path / "a").input
    assert which is not None
    assert which == here.training_rows("rows", tmp_path / "b").input
    assert which.spec.version == http.datasets()[0].digest


def test_what_one_writes_the_other_reads(both: tuple[Client, Client]) -> None:
    for number, (writer, reader) in enumerate((both, both[::-1])):
        made = writer.create_run(NewRun(id=f"mine_{number}", name="mine", started_at=LONG_AGO))
        assert reader.run(made.id) == made
        values = {"nan": float("nan"), "huge": float("inf"), "small": 5e-324}
        writer.append_journal(made.id, JournalBatch(0, [LogMetrics(AT.timestamp(), values)]))
        assert repr(reader.run(made.id).metrics) == repr(
            {"huge": float("inf"), "nan": values["nan"]} | values
        )
        assert reader.history(made.id, "small")[0].value == 5e-324


def test_who_drives(both: tuple[Client, Client], live: Up) -> None:
    http, here = both
    assert (http.health().driving, here.health().driving) == (True, False)
    assert (http.embedded, here.embedded) == (False, True)
    assert (http.server, here.server) == (live.url, str(live.root))
    with pytest.raises(Busy, match=f"process {live.process.pid}"):
        here.start_cycle(NewCycle(trigger=BY_HAND))
