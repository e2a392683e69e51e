"""Several models in one process."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from replica_parts import (
    HTTP,
    FolderPlatform,
    ids_of,
    one_row,
    options,
    post,
    running,
    status,
    wait_for,
    write_model,
)

from treadle.deploy import DesiredRevision, ReplicaReport
from treadle.deploy.replica import fleet
from treadle.kernel.errors import NotFound, Unavailable
from treadle.registry import LoadedModel


class ManyPlatform:
    """A platform of several models, each a folder; keeps what it is sent of each."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.each = {name: FolderPlatform(folder) for name, folder in folders.items()}
        self.paths = {digest: path for one in self.each.values() for digest, path in one.paths.items()}

    def report(self, report: ReplicaReport) -> DesiredRevision | None:
        return self.each[report.model].report(report)

    def report_all(self, reports: list[ReplicaReport]) -> list[DesiredRevision | None]:
        return [self.report(one) for one in reports]

    def fetch_blob(self, digest: str, path: Path) -> None:
        path.write_bytes(self.paths[digest].read_bytes())

    def send_segment(self, model: str, segment: str, rows: int, data: bytes) -> None:
        self.each[model].send_segment(model, segment, rows, data)


def test_each_model_answers_for_itself_and_is_logged_for_itself(tmp_path):
    folders = {name: write_model(tmp_path / name, scale) for name, scale in (("up", 1.0), ("down", -1.0))}
    platform = ManyPlatform(folders)
    platform.each["down"].wanted, wanted = None, platform.each["down"].wanted
    with running(options(tmp_path / "state", models=("up", "down")), platform, ready=False) as server:
        wait_for(lambda: status(server.url + "/v2/models/up/ready") == 200)
        # One that nobody has deployed holds up no other one, but the server isn't ready.
        assert post(server.url, one_row(), "/v2/models/up/infer")[0] == 200
        assert post(server.url, one_row(), "/v2/models/down/infer")[0] == 503
        assert status(server.url + "/v2/health/ready") == 503
        index = json.loads(HTTP.request("POST", server.url + "/v2/repository/index", body=b"").data)
        assert [(one["name"], one["state"]) for one in index] == [("up", "READY"), ("down", "UNAVAILABLE")]
        ready = HTTP.request("POST", server.url + "/v2/repository/index", body=b'{"ready": true}')
        assert [one["name"] for one in ready.json()] == ["up"]
        platform.each["down"].wanted = wanted
        wait_for(lambda: status(server.url + "/v2/health/ready") == 200)

        answers = {name: post(server.url, one_row(), f"/v2/models/{name}/infer")[1] for name in folders}
        up, down = (answer["outputs"][0]["data"][0] for answer in answers.values())
        assert abs(up + down - 1) < 1e-6
        records = json.dumps({"dataframe_records": [{"hour": 1.0, "carrier": "AA"}]}).encode()
        headers = {"content-type": "application/json"}
        for path, code in (
            ("/models/down/invocations", 200),
            ("/invocations", 404),
            ("/models/x/invocations", 404),
        ):
            assert HTTP.request("POST", server.url + path, body=records, headers=headers).status == code
        text = HTTP.request("GET", server.url + "/metrics").data.decode()
        assert 'treadle_rows_total{model="up"} 2.0' in text
        assert 'treadle_rows_total{model="down"} 2.0' in text
        assert "/v2/models/down/infer" in HTTP.request("GET", server.url + "/openapi.json").json()["paths"]
        assert HTTP.request("POST", server.url + "/treadle/flush").status == 200
    for name, answer in answers.items():
        sent = [row for batch in platform.each[name].batches for row in batch.ids]
        assert len(sent) == 2
        assert ids_of(answer)[0] in sent
    assert {report.model for report in platform.each["up"].reports} == {"up"}


def test_while_a_model_is_loaded_the_others_and_it_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(fleet, "_SILENT", 0.05)
    platform = ManyPlatform({name: write_model(tmp_path / name) for name in ("one", "two")})
    load, loading, go_on = LoadedModel.load, threading.Event(), threading.Event()

    def slow(folder: Path) -> LoadedModel:
        if "two" in folder.parts:
            loading.set()
            assert go_on.wait(20)
        return load(folder)

    monkeypatch.setattr(LoadedModel, "load", slow)
    with running(options(tmp_path / "state", models=("one", "two")), platform, ready=False) as server:
        try:
            assert loading.wait(20)
            before = [len(one.reports) for one in platform.each.values()]
            for one, count in zip(platform.each.values(), before, strict=True):
                wait_for(lambda one=one, count=count: len(one.reports) > count + 3)
            assert [one.reports[-1].revision for one in platform.each.values()] == [1, None]
        finally:
            go_on.set()
        wait_for(lambda: status(server.url + "/v2/health/ready") == 200)


def test_an_older_platform_is_told_of_one_model_after_the_other(tmp_path):
    class Older(ManyPlatform):
        def report_all(self, reports: list[ReplicaReport]) -> list[DesiredRevision | None]:
            raise NotFound("there is no such route")

    folder = write_model(tmp_path / "model")
    platform = Older({"up": folder, "down": folder})
    with running(options(tmp_path / "state", models=("up", "down")), platform) as server:
        assert post(server.url, one_row(), "/v2/models/down/infer")[0] == 200
    assert {report.revision for report in platform.each["down"].reports} == {None, 1}


def test_a_platform_that_is_away_is_told_of_once_and_the_models_answer_on(tmp_path, caplog):
    class Leaving(ManyPlatform):
        away = False

        def report_all(self, reports: list[ReplicaReport]) -> list[DesiredRevision | None]:
            if self.away:
                raise Unavailable("nobody answers")
            return super().report_all(reports)

    folder = write_model(tmp_path / "model")
    platform = Leaving({"up": folder, "down": folder})
    caplog.set_level("INFO", "treadle.replica")
    with running(options(tmp_path / "state", models=("up", "down")), platform) as server:
        platform.away = True
        wait_for(lambda: "the platform doesn't answer" in caplog.text)
        assert post(server.url, one_row(), "/v2/models/down/infer")[0] == 200
        platform.away = False
        wait_for(lambda: "the platform answers again" in caplog.text)
    assert caplog.text.count("the platform doesn't answer") == 1
