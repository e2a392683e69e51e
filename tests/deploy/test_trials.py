"""A revision in trial in a real replica, on the real services: shares, sticking, shadows, and going back."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from replica_parts import (
    HTTP,
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
from test_swap import Load

from treadle.deploy.replica import ReplicaServer
from treadle.deploy.replica.batcher import Batcher
from treadle.deploy.replica.holder import Holder
from treadle.kernel.config import DeployConfig, GuardsConfig
from treadle.kernel.errors import ModelInvalid
from treadle.kernel.workspace import Workspace

CANARY = DeployConfig(strategy="canary", steps=(0.25,), bake="1s", min_requests=40)
CHALLENGER = DeployConfig(strategy="challenger", steps=(0.5,))


@pytest.fixture
def platform(workspace: Workspace, tmp_path: Path) -> ServicesPlatform:
    """The real services; version 1 of ``toy`` answers 0.8176 to the usual row and version 2 0.9526."""
    for number in (1, 2):
        register(workspace, write_model(tmp_path / f"m{number}", scale=float(number)), f"run_{number}")
    found = ServicesPlatform(workspace, tmp_path / "inbox")
    found.deployments.deploy("toy", 1, "me", "first", "k1")
    return found


@pytest.fixture(autouse=True)
def holders(monkeypatch: pytest.MonkeyPatch) -> list[Holder]:
    """What the replicas of a test hold."""
    made: list[Holder] = []
    before = Holder.__init__

    def noted(self: Holder, *given, **named) -> None:
        before(self, *given, **named)
        made.append(self)

    monkeypatch.setattr(Holder, "__init__", noted)
    return made


def start(platform: ServicesPlatform, holders: list[Holder], plan: DeployConfig) -> None:
    wait_for(lambda: platform.deployments.status("toy").serving)
    platform.deployments.deploy("toy", 2, "me", "better", "k2", plan=plan, outcome="pass")
    wait_for(lambda: (found := platform.deployments.status("toy").rollout) and found.revision.step_at)
    wait_for(lambda: holders[-1].tried and holders[-1].tried._asked.share == share_of(plan))


def seen(platform: ServicesPlatform) -> int:
    found = platform.deployments.status("toy").rollout
    return found.counts.requests + found.beside.requests


def share_of(plan: DeployConfig) -> float:
    return 0.0 if plan.strategy == "shadow" else plan.steps[0]


def versions(server: ReplicaServer, count: int, key: str | None = None, hour: float = 1.0) -> list[str]:
    headers = {"x-treadle-key": key} if key else {}
    url, body = f"{server.url}/v2/models/toy/infer", json.dumps(one_row(hour))
    return [
        HTTP.request("POST", url, body=body, headers=headers).json()["model_version"] for _ in range(count)
    ]


def test_a_challenger_answers_its_share_and_every_caller_stays_with_one(platform, tmp_path, holders):
    with running(options(tmp_path / "state"), platform) as server:
        start(platform, holders, CHALLENGER)
        drawn = versions(server, 60)
        assert 28 <= drawn.count("2") <= 32
        stuck = [set(versions(server, 3, f"caller {number}")) for number in range(30)]
        assert all(len(one) == 1 for one in stuck)
        assert {version for one in stuck for version in one} == {"1", "2"}
        asked = [post(server.url, one_row(), f"/v2/models/toy/versions/{number}/infer") for number in "12"]
        assert [answer["model_version"] for _, answer in asked] == ["1", "2"]
        assert post(server.url, one_row(), "/v2/models/toy/versions/3/infer")[0] == 404
        wait_for(lambda: seen(platform) == 152)
        found = platform.deployments.status("toy").rollout
        assert sum(found.counts.answers) == found.counts.requests
    assert len(inbox_rows(platform.inbox)) == 152


def test_callers_stick_by_an_input(platform, tmp_path, holders):
    plan = DeployConfig(strategy="challenger", steps=(0.5,), sticky="hour")
    with running(options(tmp_path / "state"), platform) as server:
        start(platform, holders, plan)
        stuck = [set(versions(server, 3, hour=number / 10)) for number in range(20)]
        assert all(len(one) == 1 for one in stuck)
        assert {version for one in stuck for version in one} == {"1", "2"}


def test_a_canary_takes_over_under_load_without_a_failed_request(platform, tmp_path, holders, clock):
    with running(options(tmp_path / "state"), platform) as server:
        stop = threading.Event()
        callers = [Load(server.url, stop) for _ in range(2)]
        for caller in callers:
            caller.start()
        try:
            start(platform, holders, CANARY)
            clock.at += timedelta(seconds=2)
            wait_for(lambda: platform.deployments.status("toy").serving.version == 2)
        finally:
            stop.set()
        for caller in callers:
            caller.join()
    assert [failure for caller in callers for failure in caller.failures] == []
    answers = [answer for caller in callers for answer in caller.answers]
    assert {status for status, *_ in answers} == {200}
    assert {(version, round(value, 4)) for _, version, value, _ in answers} == {("1", 0.8176), ("2", 0.9526)}
    assert sorted(inbox_rows(platform.inbox)) == sorted(row for *_, row in answers)


def test_a_canary_that_fails_is_gone_within_seconds(platform, tmp_path, holders, monkeypatch):
    settle = Batcher._settle

    def failing(self, jobs, **how):
        if jobs[0].model.version == 2:
            return [ModelInvalid("no") for _ in jobs]
        return settle(self, jobs, **how)

    monkeypatch.setattr(Batcher, "_settle", failing)
    with running(options(tmp_path / "state"), platform) as server:
        start(platform, holders, CANARY)
        statuses = [post(server.url, one_row())[0] for _ in range(40)]
        assert 1 <= statuses.count(500) <= 15
        wait_for(lambda: holders[-1].tried is None)
        assert {post(server.url, one_row())[0] for _ in range(8)} == {200}
    assert "guard 'errors" in platform.deployments.history("toy")[-1].error


def test_a_shadow_is_compared_and_never_answers_or_is_written_down(platform, tmp_path, holders):
    with running(options(tmp_path / "state"), platform) as server:
        start(platform, holders, DeployConfig(strategy="shadow", guards=GuardsConfig(beside=False)))
        assert set(versions(server, 20)) == {"1"}
        wait_for(lambda: platform.deployments.status("toy").rollout.compared == 20)
        found = platform.deployments.status("toy").rollout
        assert found.apart == pytest.approx(0.9525741 - 0.8175745, abs=1e-6)
        assert (found.counts.requests, found.beside.requests, found.shadow) == (20, 20, True)
        platform.deployments.promote("toy", "eve", "it agrees")
        wait_for(lambda: versions(server, 1) == ["2"])
        logged = 21
    assert len(inbox_rows(platform.inbox)) >= logged
