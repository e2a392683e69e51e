"""What goes out comes in again as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_stores import counts, everything, make_home, over_http, take
from treadle.client import Client
from treadle.interop import Trouble, export_files, open_source
from treadle.kernel.errors import AlreadyExists


def test_a_round_trip_changes_nothing(filestore: Path, client: Client, tmp_path: Path) -> None:
    take(filestore, client)
    source, troubles = over_http(client)
    report = export_files(source, tmp_path / "out", troubles)
    assert (report.troubles, report.differing) == ([], [])
    assert all(there == here > 0 for there, here in counts(report).values())

    with Client.in_process(make_home(tmp_path / "other")) as other:
        back = take(tmp_path / "out", other)
        assert (back.troubles, back.differing, back.added) == ([], [], 9)
        assert everything(over_http(other)[0], ids=True) == everything(over_http(client)[0], ids=True)
    # Also the very runs that MLflow itself wrote, read from the store and from the copy of it.
    first = everything(open_source(str(filestore), troubles.append), ids=True)
    last = everything(open_source(str(tmp_path / "out"), troubles.append), ids=True)
    assert {k: v for k, v in first.items() if k[0] == "run"} == {
        k: v for k, v in last.items() if k[0] == "run"
    }
    assert first.keys() == last.keys()


def test_a_folder_that_has_something_is_left_alone(client: Client, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    source, troubles = over_http(client)
    with pytest.raises(AlreadyExists):
        export_files(source, tmp_path / "out", troubles)
    assert [path.name for path in tmp_path.glob("out/*")] == ["mine"]


def test_names_that_no_folder_can_hold_are_told(client: Client, tmp_path: Path) -> None:
    from treadle.experiment import LogMetrics, NewRun
    from treadle.experiment.types import JournalBatch
    from treadle.kernel.clock import SystemClock

    for run, names in (("good", ("a", "b")), ("bad", ("a", "a/b"))):
        client.create_run(NewRun(id=run, name=run, started_at=SystemClock().now(), experiment="e"))
        client.append_journal(run, JournalBatch(0, [LogMetrics(1.0, dict.fromkeys(names, 1.0))]))
    source, troubles = over_http(client)
    report = export_files(source, tmp_path / "out", troubles)
    (trouble,) = report.troubles
    assert trouble.where == "run bad"
    assert "'a/b' can't be a file beside the others" in trouble.reason
    assert "'metrics'" not in trouble.reason
    found: list[Trouble] = []
    written = open_source(str(tmp_path / "out"), found.append)
    home = next(e.id for e in written.experiments() if e.name == "e")
    assert [head.id for head in written.heads(home)] == ["good"]
