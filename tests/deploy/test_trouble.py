"""What goes wrong while the server answers: callers, models, memory and the process itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import psutil
import pytest
import urllib3
from replica_parts import (
    HTTP,
    FolderPlatform,
    ServicesPlatform,
    one_row,
    options,
    post,
    register,
    running,
    status,
    supervised,
    tensor,
    wait_for,
    write_model,
)

from treadle.deploy.probing import Patience
from treadle.deploy.replica import pulse as pulse_module
from treadle.deploy.replica import vitals as vitals_module
from treadle.deploy.replica.guard import Guard
from treadle.deploy.replica.vitals import Vitals
from treadle.kernel.workspace import Workspace
from treadle.registry import LoadedModel

INFER = "/v2/models/toy/infer"


def rows(count: int) -> dict:
    """A request of so many rows; more than 64 wait beside the event loop."""
    hours = tensor("hour", "FP64", [1.0] * count)
    return {"inputs": [hours, tensor("carrier", "BYTES", ["AA"] * count)]}


def raw(body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n".encode() + body


def caller(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def metric(url: str, name: str) -> float:
    lines = HTTP.request("GET", url + "/metrics").data.decode().splitlines()
    return float(next((line.split()[-1] for line in lines if line.startswith(name)), 0))


@pytest.fixture
def platform(tmp_path: Path) -> FolderPlatform:
    return FolderPlatform(write_model(tmp_path / "model"))


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A model that takes a request of 100 rows and gives it back only when it is told to."""
    entered, go_on, predict = threading.Event(), threading.Event(), LoadedModel.predict

    def slow(self, columns):
        if len(columns["hour"]) == 100:
            entered.set()
            assert go_on.wait(20)
        return predict(self, columns)

    monkeypatch.setattr(LoadedModel, "predict", slow)
    yield SimpleNamespace(entered=entered, go_on=go_on)
    go_on.set()


# ── callers ──────────────────────────────────────────────────────────────


def test_slow_callers_are_let_go_and_hold_up_nobody(platform, tmp_path):
    with running(options(tmp_path / "state", timeout=0.5), platform) as server:
        trickling = [
            (b"POST /v2/mod", b""),  # headers that never end
            (raw(b'{"inputs"', length=5000), b"408 "),  # a body that never ends
            (raw(b"", length=50), b"408 "),  # a body that never begins
        ]
        callers = []
        for sent, answer in trickling:
            connection = caller(server.url)
            connection.sendall(sent)
            callers.append((connection, answer))
        assert post(server.url, one_row())[0] == 200
        for connection, answer in callers:
            with connection:
                head = connection.recv(1000)
                assert answer in head
                assert not head or b"connection: close" in head
                while head:
                    head = connection.recv(1000)
        assert metric(server.url, "treadle_requests_in_hand") == 0
        assert metric(server.url, 'treadle_requests_total{code="408"') == 2


def test_what_a_caller_takes_to_send_is_no_time_of_the_server(platform, tmp_path):
    server_options = options(tmp_path / "state", timeout=1.0)
    body = json.dumps(one_row()).encode()
    with running(server_options, platform) as server, caller(server.url) as slow, caller(server.url) as never:
        server.fleet.holders[0].desk.stats.slow_after = 0.2
        never.sendall(raw(b'{"inputs"', length=5000))
        slow.sendall(raw(b"", length=len(body)))
        time.sleep(0.3)
        slow.sendall(body)
        assert b" 200 " in slow.recv(1000)
        assert b" 408 " in never.recv(1000)
        stats = server.fleet.holders[0].desk.stats
        assert stats.codes == {200: 1, 408: 1}
        assert stats.slow == 0
        assert stats.seconds.total < 0.2


def test_a_caller_that_does_not_take_its_answers_is_cut_off(platform, tmp_path):
    body = json.dumps(rows(4000)).encode()
    with running(options(tmp_path / "state", timeout=0.5), platform) as server, caller(server.url) as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012 - it takes some requests
            for _ in range(2000):
                greedy.sendall(raw(body))
                time.sleep(0.01)
        assert post(server.url, one_row())[0] == 200


def test_a_request_that_takes_too_long_is_told_so_and_gives_up_its_place(platform, tmp_path, stuck):
    with running(options(tmp_path / "state", timeout=0.3), platform) as server, ThreadPoolExecutor(2) as pool:
        first = pool.submit(post, server.url, rows(100))
        assert stuck.entered.wait(20)
        second = pool.submit(post, server.url, rows(99))
        for asked in (first, second):
            code, answer = asked.result()
            assert code == 504
            assert "0.3 s" in answer["error"]
        assert post(server.url, one_row())[0] == 200  # small requests go past
        assert metric(server.url, "treadle_queue_length") == 1  # the one that can't be stopped
        stuck.go_on.set()
        wait_for(lambda: post(server.url, rows(99))[0] == 200)
        assert metric(server.url, "treadle_queue_length") == 0


def test_a_caller_that_hangs_up_gives_up_its_place(platform, tmp_path, stuck):
    with running(options(tmp_path / "state", max_queue=2), platform) as server, ThreadPoolExecutor(2) as pool:
        first = pool.submit(post, server.url, rows(100))
        assert stuck.entered.wait(20)
        with caller(server.url) as gone:
            gone.sendall(raw(json.dumps(rows(99)).encode()))
            wait_for(lambda: metric(server.url, "treadle_queue_length") == 2)
            assert post(server.url, rows(98))[0] == 503
        wait_for(lambda: metric(server.url, "treadle_queue_length") == 1)
        second = pool.submit(post, server.url, rows(98))
        wait_for(lambda: metric(server.url, "treadle_queue_length") == 2)
        stuck.go_on.set()
        assert [asked.result()[0] for asked in (first, second)] == [200, 200]
        assert metric(server.url, 'treadle_requests_total{code="499"') == 1


def test_when_to_come_again_is_what_the_queue_takes(platform, tmp_path, stuck):
    with running(options(tmp_path / "state", timeout=12), platform) as server, ThreadPoolExecutor(4) as pool:
        vitals = server.fleet.find("toy").current.vitals
        vitals.among = 0.07
        waiting = [pool.submit(post, server.url, rows(100)) for _ in range(2)]
        assert stuck.entered.wait(20)
        wait_for(lambda: metric(server.url, "treadle_queue_length") == 2)
        # 200 rows of 70 ms wait: more than a request may take, so it needn't wait for that.
        refused = HTTP.request("POST", server.url + INFER, body=json.dumps(rows(100)).encode())
        assert refused.status == 503
        assert 12 < int(refused.headers["retry-after"]) <= 14
        stuck.go_on.set()
        assert [asked.result()[0] for asked in waiting] == [200, 200]
        assert vitals.among < 0.07  # it has learnt


def test_a_slow_model_is_asked_beside_the_event_loop_and_what_waits_is_one_batch(
    platform, tmp_path, monkeypatch
):
    sizes, predict = [], LoadedModel.predict

    def slow(self, columns):
        sizes.append(len(columns["hour"]))
        time.sleep(0.05)
        return predict(self, columns)

    with running(options(tmp_path / "state"), platform) as server, ThreadPoolExecutor(12) as pool:
        server.fleet.find("toy").current.vitals.alone = 0.05
        monkeypatch.setattr(LoadedModel, "predict", slow)
        asked = [pool.submit(post, server.url, one_row(float(i))) for i in range(12)]
        began = time.monotonic()
        assert status(server.url + "/v2/health/live") == 200
        assert time.monotonic() - began < 5
        assert [one.result()[0] for one in asked] == [200] * 12
    assert sum(sizes) == 12
    assert len(sizes) < 12


def test_more_requests_than_may_be_in_hand_are_told_to_come_later(platform, tmp_path):
    with running(options(tmp_path / "state", max_concurrency=2), platform) as server:
        with caller(server.url) as one, caller(server.url) as two:
            for connection in (one, two):
                connection.sendall(raw(b"{", length=50))
            wait_for(lambda: metric(server.url, "treadle_requests_in_hand") == 2)
            code, answer = post(server.url, one_row())
            assert (code, answer["error"]) == (503, "2 requests wait already; try again in a moment")
        wait_for(lambda: post(server.url, one_row())[0] == 200)


def test_large_bodies_that_come_together_are_bounded_together(platform, tmp_path):
    with running(options(tmp_path / "state", max_body=100_000), platform) as server:
        callers = [caller(server.url) for _ in range(12)]
        for connection in callers:
            connection.sendall(raw(b"x" * 90_000, length=95_000))
        wait_for(lambda: metric(server.url, 'treadle_requests_total{code="503"') >= 4)
        assert metric(server.url, "treadle_requests_in_hand") <= 8
        for connection in callers:
            connection.close()
        wait_for(lambda: metric(server.url, "treadle_requests_in_hand") == 0)
        assert post(server.url, one_row())[0] == 200


def test_missing_values_are_refused_where_the_project_says_so(platform, tmp_path):
    with running(options(tmp_path / "state", missing="refuse"), platform) as server:
        request = one_row()
        request["inputs"][0]["data"] = [None]
        code, answer = post(server.url, request)
        assert (code, answer["error"]) == (400, "input 'hour', row 0 is missing, which is refused here")
        assert post(server.url, one_row())[0] == 200


# ── models ───────────────────────────────────────────────────────────────


def test_a_model_that_contradicts_its_signature_is_told_counted_and_not_ready(
    platform, tmp_path, monkeypatch
):
    monkeypatch.setattr(vitals_module, "_FAILURES", 3)
    monkeypatch.setattr(vitals_module, "_FAILING_FOR", 0.05)
    monkeypatch.setattr(vitals_module, "_TRY_AGAIN", 0.5)
    predict = LoadedModel.predict
    with running(options(tmp_path / "state"), platform) as server:
        monkeypatch.setattr(LoadedModel, "predict", lambda self, columns: predict(self, columns) + 1)
        code, answer = post(server.url, one_row())
        assert code == 500
        assert "which is no probability as its signature says" in answer["error"]
        assert status(server.url + "/v2/health/ready") == 200
        for _ in range(3):
            time.sleep(0.03)
            post(server.url, one_row())
        assert status(server.url + "/v2/health/ready") == 503
        assert status(server.url + "/v2/models/toy/ready") == 503
        assert metric(server.url, "treadle_model_failures_total") == 4
        # It is tried again after a while, and an answer makes it ready.
        wait_for(lambda: status(server.url + "/v2/health/ready") == 200)
        monkeypatch.setattr(LoadedModel, "predict", predict)
        assert post(server.url, one_row())[0] == 200
        assert status(server.url + "/v2/health/ready") == 200


def test_one_answer_among_failures_keeps_a_model_ready():
    vitals = Vitals(0.001, 0.001)
    for second in range(60):
        vitals.failed(float(second))
        if second == 30:
            vitals.succeeded()
    assert vitals.failing(60.0)
    vitals.succeeded()
    assert not vitals.failing(60.0)


def test_a_corrupted_copy_is_fetched_anew_and_a_wrong_blob_is_refused(platform, tmp_path):
    with running(options(tmp_path / "state"), platform):
        pass
    (copy,) = (tmp_path / "state" / "models" / "toy").glob("*/model.onnx")
    copy.write_bytes(b"\x00" + copy.read_bytes()[1:])
    with running(options(tmp_path / "state"), platform) as server:
        assert post(server.url, one_row())[0] == 200
    copy.write_bytes(b"broken")
    source = platform.paths[platform.wanted.files["model.onnx"]]
    source.write_bytes(source.read_bytes() + b"\x00")
    with running(options(tmp_path / "state"), platform, ready=False) as server:
        wait_for(lambda: platform.reports[-1].failed == 1)
        assert "not what was registered" in platform.reports[-1].error
        assert status(server.url + "/v2/health/ready") == 503


# ── the process ──────────────────────────────────────────────────────────


def test_a_prediction_that_never_comes_back_ends_the_process():
    aborted = threading.Event()
    began = time.perf_counter()
    guard = Guard(None, lambda: None, lambda: time.perf_counter() - began > 0.3, aborted.set)
    guard.start()
    assert aborted.wait(10)
    guard.close()


def test_a_replica_whose_prediction_hangs_is_not_ready_and_says_so(platform, tmp_path, stuck, monkeypatch):
    monkeypatch.setattr(pulse_module, "_OVERDUE", 0.3)
    with running(options(tmp_path / "state"), platform) as server, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(post, server.url, rows(100))
        assert stuck.entered.wait(20)
        wait_for(lambda: status(server.url + "/v2/health/ready") == 503)
        told = HTTP.request("GET", server.url + "/v2/health/ready").json()
        assert told["live"]
        assert told["hangs"].startswith("a prediction has been in hand for ")
        assert status(server.url + "/v2/health/live") == 200
        wait_for(lambda: platform.reports[-1].trouble.startswith("a prediction has been in hand"))
        stuck.go_on.set()
        assert asked.result()[0] == 200
        wait_for(lambda: status(server.url + "/v2/health/ready") == 200)
        wait_for(lambda: platform.reports[-1].trouble == "")


class Load:
    """Callers that keep asking until they are told to stop; what failed, and how."""

    def __init__(self, url: str, *, stay: bool = False) -> None:
        self.url = url
        self.answered = 0
        self.failed: list[str] = []
        self.sent_away = 0
        self._stay = stay
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)]

    def _ask(self) -> None:
        pool = urllib3.PoolManager(maxsize=1, retries=False, timeout=20)
        body = json.dumps(one_row()).encode()
        while not self._stop.is_set():
            try:
                answer = pool.request("POST", self.url + INFER, body=body)
            except urllib3.exceptions.HTTPError as error:
                self.failed.append(repr(error))
            else:
                self.answered += 1
                if answer.status != 200:
                    self.failed.append(str(answer.status))
                if answer.headers.get("connection") == "close" and not self._stay:
                    self.sent_away += 1
                    return

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def alive(
    project: Path, tmp_path: Path, inbox: Path, *more: str, patience: Patience | None = None
) -> Iterator[SimpleNamespace]:
    supervisor, url = supervised(project, tmp_path / "state", inbox, *more, patience=patience)
    supervisor.start()
    try:
        wait_for(lambda: status(f"{url}/v2/health/ready") == 200, timeout=60)
        yield SimpleNamespace(supervisor=supervisor, url=url)
    finally:
        supervisor.close()


@pytest.fixture
def services(workspace: Workspace, tmp_path: Path) -> ServicesPlatform:
    register(workspace, write_model(tmp_path / "m1"), "run_1")
    found = ServicesPlatform(workspace, tmp_path / "inbox")
    found.deployments.deploy("toy", 1, "me", "test", "k")
    return found


def test_a_crash_fails_what_is_in_flight_and_a_restart_for_memory_nothing(services, project, tmp_path):
    """Real processes: killed as a native library's fault kills them, then over their memory's limit."""
    with alive(project, tmp_path, services.inbox) as server:
        with Load(server.url, stay=True) as load:
            wait_for(lambda: load.answered > 50)
            os.kill(server.supervisor.pid, signal.SIGSEGV)
            before = load.answered
            wait_for(lambda: load.answered > before + 50, timeout=60)
        assert len(load.failed) <= 3  # one for each caller; who comes later waits for the next process
        assert server.supervisor.starts == 2
        used = psutil.Process(server.supervisor.pid).memory_info().rss >> 20
    more = ("fault=leaks", f"memory={used + 150}")
    with alive(project, tmp_path, services.inbox, *more) as server, Load(server.url, stay=True) as load:
        wait_for(lambda: server.supervisor.starts == 2, timeout=60)
        before = load.answered
        wait_for(lambda: load.answered > before + 10, timeout=60)
    assert load.failed == []


def test_a_process_that_is_stopped_is_killed_and_started_again(services, project, tmp_path):
    """SIGSTOP under load: it answers nobody and reports nothing, and heeds no signal but one."""
    patience = Patience(every=0.1, wait=0.5)
    with alive(project, tmp_path, services.inbox, patience=patience) as server:
        with Load(server.url, stay=True) as load:
            wait_for(lambda: load.answered > 50)
            assert server.supervisor.hung == 0, "busy is not hung"
            os.kill(server.supervisor.pid, signal.SIGSTOP)
            before = load.answered
            wait_for(lambda: load.answered > before + 50, timeout=60)
        assert len(load.failed) <= 3  # what was in hand; who comes later waits for the next process
        assert (server.supervisor.hung, server.supervisor.starts) == (1, 2)

        def trouble() -> str:
            [replica] = services.deployments.status("toy").replicas
            return replica.trouble

        wait_for(lambda: trouble().startswith("it was started again: it answered nobody for "))
        levels = services.deployments.status("toy").levels
        assert levels.stuck.startswith("1 of 1 replicas hang or did; replica: it was started again")
        assert levels.left == 0


def test_a_process_whose_library_holds_the_lock_while_it_loads_is_not_killed(
    services, workspace, project, tmp_path
):
    slow = write_model(tmp_path / "m2", scale=2.0)
    example = json.loads((slow / "example.json").read_text())
    (slow / "example.json").write_text(json.dumps(example | {"hour": [666.0, 1.0]}))
    register(workspace, slow, "run_2")
    patience = Patience(every=0.05, wait=0.1)  # what does nothing for 0.3 s hangs
    with alive(project, tmp_path, services.inbox, "fault=holds", patience=patience) as server:
        services.deployments.deploy("toy", 2, "me", "test", "k2")
        wait_for(lambda: post(server.url, one_row())[1].get("model_version") == "2", timeout=60)
        assert (server.supervisor.hung, server.supervisor.starts) == (0, 1)


def test_a_revision_that_was_being_loaded_when_the_process_died_twice_is_not_loaded_again(platform, tmp_path):
    (tmp_path / "state").mkdir()
    marker = tmp_path / "state" / "loading-toy"
    for deaths, ready in (("1 1", True), ("1 2", False), ("8 2", True)):
        marker.write_text(deaths)
        with running(options(tmp_path / "state"), platform, ready=ready):
            if not ready:
                wait_for(lambda: platform.reports[-1].failed == 1)
                assert platform.reports[-1].error == "the process died 2 times while it loaded the model"
        assert not marker.exists()


@pytest.mark.soak
def test_a_model_that_kills_the_process_twice_is_rolled_back(services, workspace, project, tmp_path):
    deadly = write_model(tmp_path / "m2", scale=2.0)
    example = json.loads((deadly / "example.json").read_text())
    (deadly / "example.json").write_text(json.dumps(example | {"hour": [666.0, 1.0]}))
    register(workspace, deadly, "run_2")
    with alive(project, tmp_path, services.inbox, "fault=dies") as server:
        made = services.deployments.deploy("toy", 2, "me", "test", "k2")
        wait_for(lambda: services.deployments.history("toy")[-1].state == "failed", timeout=60)
        assert services.deployments.history("toy")[made.revision - 1].error == (
            "the process died 2 times while it loaded the model"
        )
        wait_for(lambda: status(f"{server.url}/v2/health/ready") == 200, timeout=60)
        assert post(server.url, one_row())[1]["model_version"] == "1"


def test_a_graceful_end_under_load_fails_no_request(platform, tmp_path):
    """Callers that are told to close their connection go elsewhere, as a load balancer's do."""
    with running(options(tmp_path / "state"), platform) as server:
        with Load(server.url) as load:
            wait_for(lambda: load.answered > 100)
            server.stop()
            wait_for(lambda: load.sent_away == 3)
        assert load.failed == []
