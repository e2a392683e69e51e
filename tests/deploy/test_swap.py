from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
import urllib3
from replica_parts import (
    ServicesPlatform,
    inbox_rows,
    one_row,
    options,
    post,
    register,
    running,
    wait_for,
    write_model,
)

from treadle.deploy.replica import ReplicaServer
from treadle.kernel.errors import Busy, Unavailable
from treadle.kernel.workspace import Workspace


@pytest.fixture
def platform(workspace: Workspace, tmp_path: Path) -> ServicesPlatform:
    """The real services, with versions 1 and 2 of ``toy``; the second answers with a larger scale."""
    for number in (1, 2):
        register(workspace, write_model(tmp_path / f"m{number}", scale=float(number)), f"run_{number}")
    return ServicesPlatform(workspace, tmp_path / "inbox")


def deploy(platform: ServicesPlatform, version: int, key: str):
    return platform.deployments.deploy("toy", version, "me", "test", key)


class Load(threading.Thread):
    """Asks without a pause until it is told to stop; keeps every answer."""

    def __init__(self, url: str, stop: threading.Event) -> None:
        super().__init__()
        self.url = f"{url}/v2/models/toy/infer"
        self.halt = stop
        self.answers: list[tuple[int, str, float, str]] = []
        self.failures: list[object] = []

    def run(self) -> None:
        body = json.dumps(one_row(hour=1.0)).encode()
        with urllib3.PoolManager(maxsize=1, retries=False) as pool:
            while not self.halt.is_set():
                try:
                    response = pool.request("POST", self.url, body=body)
                    answer = response.json()
                    value, ids = (out["data"][0] for out in answer["outputs"])
                    self.answers.append((response.status, answer["model_version"], value, ids))
                except (urllib3.exceptions.HTTPError, KeyError, ValueError) as error:
                    self.failures.append(error)


def test_twenty_swaps_under_load_fail_no_request_and_every_answer_is_its_versions_own(platform, tmp_path):
    deploy(platform, 1, "first")
    with running(options(tmp_path / "state"), platform) as server:
        stop = threading.Event()
        callers = [Load(server.url, stop) for _ in range(4)]
        for caller in callers:
            caller.start()
        for swap in range(20):
            made = deploy(platform, 2 - swap % 2, f"swap_{swap}")
            done = platform.deployments.wait("toy", made.revision, timeout=30)
            assert done.state == "serving"
        stop.set()
        for caller in callers:
            caller.join()
    assert [failure for caller in callers for failure in caller.failures] == []
    answers = [answer for caller in callers for answer in caller.answers]
    assert {status for status, *_ in answers} == {200}
    by_version = {version: {value for _, v, value, _ in answers if v == version} for version in "12"}
    # sigmoid(1.5) and sigmoid(3): never one version's name with the other's answer.
    assert all(value == pytest.approx(0.8175745, abs=1e-6) for value in by_version["1"])
    assert all(value == pytest.approx(0.9525741, abs=1e-6) for value in by_version["2"])
    assert by_version["1"]
    assert by_version["2"]
    # The graceful stop shipped the rest: every answer was logged, once.
    logged = inbox_rows(platform.inbox)
    assert sorted(logged) == sorted(row for *_, row in answers)
    states = [revision.state for revision in platform.deployments.history("toy")]
    assert states == ["superseded"] * 20 + ["serving"]


@pytest.mark.parametrize("broken", ["garbage", "digest", "missing blob", "path"])
def test_a_version_that_cant_be_loaded_is_rolled_back_while_the_old_one_answers(
    platform, workspace, tmp_path, broken, monkeypatch
):
    folder = write_model(tmp_path / "bad", scale=3.0)
    if broken == "garbage":
        (folder / "model.onnx").write_bytes(b"this is no model")
    elif broken == "path":
        monkeypatch.setattr(platform.deployments, "_files", {"toy/3": {"../../outside": "a" * 64}})
    bad = register(workspace, folder, "run_bad")
    deploy(platform, 1, "good")
    with running(options(tmp_path / "state"), platform) as server:
        if broken == "digest":
            platform.fetch_blob = lambda _, path: path.write_bytes(b"something else")
        elif broken == "missing blob":
            digest = platform.deployments._files_of(f"toy/{bad}")["model.onnx"]
            monkeypatch.setattr(platform.deployments, "_check_kept", lambda _: None)  # lost a moment later
            next((workspace.root / ".treadle/blobs").rglob(digest[2:])).unlink()
        made = deploy(platform, bad, "bad")
        failed = platform.deployments.wait("toy", made.revision, timeout=30)
        assert failed.state == "failed"
        assert failed.error
        status = platform.deployments.status("toy")
        assert (status.desired.revision, status.serving.revision) == (1, 1)
        assert post(server.url, one_row())[1]["model_version"] == "1"
        assert not (tmp_path / "outside").exists()
        # It goes on following: the next good version is taken.
        platform.__dict__.pop("fetch_blob", None)
        again = deploy(platform, 2, "next")
        assert platform.deployments.wait("toy", again.revision, timeout=30).state == "serving"
        assert post(server.url, one_row())[1]["model_version"] == "2"


def test_a_platform_that_is_away_stops_nothing_and_is_followed_again(platform, tmp_path, monkeypatch):
    deploy(platform, 1, "a")
    with running(options(tmp_path / "state"), platform) as server:

        def away(*_):
            raise Unavailable("nobody answers")

        for name in ("report", "fetch_blob", "send_segment"):
            monkeypatch.setattr(platform, name, away)
        made = deploy(platform, 2, "b")
        assert post(server.url, one_row())[1]["model_version"] == "1"
        time.sleep(0.1)
        assert platform.deployments.history("toy")[-1].state == "pending"
        monkeypatch.undo()
        assert platform.deployments.wait("toy", made.revision, timeout=30).state == "serving"
        assert post(server.url, one_row())[1]["model_version"] == "2"


def test_a_blob_that_cant_be_fetched_just_now_is_fetched_later_without_a_rollback(platform, tmp_path):
    deploy(platform, 1, "a")
    calls = []

    def hesitant(digest: str, path: Path) -> None:
        calls.append(digest)
        if len(calls) < 3:
            raise Unavailable("try later")
        ServicesPlatform.fetch_blob(platform, digest, path)

    platform.fetch_blob = hesitant
    with running(options(tmp_path / "state"), platform) as server:
        assert post(server.url, one_row())[0] == 200
    assert platform.deployments.history("toy")[0].state == "serving"


def test_a_replica_tells_how_it_is(platform, tmp_path):
    deploy(platform, 1, "a")
    with running(options(tmp_path / "state", name="here"), platform) as server:
        for _ in range(3):
            post(server.url, one_row())

        def rows() -> int:
            return platform.deployments.status("toy").replicas[0].rows

        wait_for(lambda: rows() == 3)
        (replica,) = platform.deployments.status("toy").replicas
        assert (replica.replica, replica.url, replica.revision) == ("here", server.url, 1)
        assert (replica.requests, replica.errors) == (3, 0)
        assert 0 < replica.p50_ms <= replica.p99_ms < 10_000


def test_copies_of_old_versions_make_room(platform, workspace, tmp_path):
    for number in (3, 4, 5):
        register(workspace, write_model(tmp_path / f"m{number}", scale=float(number)), f"run_{number}")
    deploy(platform, 1, "k1")
    with running(options(tmp_path / "state"), platform):
        for version in (2, 3, 4, 5):
            made = deploy(platform, version, f"k{version}")
            assert platform.deployments.wait("toy", made.revision, timeout=30).state == "serving"
    kept = sorted(path.name.split("-")[0] for path in (tmp_path / "state" / "models" / "toy").iterdir())
    assert kept == ["3", "4", "5"]


def test_a_taken_port_and_a_taken_folder_are_refused(platform, tmp_path):
    deploy(platform, 1, "a")
    with running(options(tmp_path / "state"), platform) as server:
        port = int(server.url.rsplit(":", 1)[1])
        with pytest.raises(Busy, match="choose another port"):
            ReplicaServer(options(tmp_path / "other", port=port), platform)
        second = ReplicaServer(options(tmp_path / "state"), platform)
        with pytest.raises(Busy, match="replica"):
            second.run()
