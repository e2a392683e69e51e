"""Environments: each has deployments of its own, and a version comes in from the one before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from replica_parts import options, post, register, running, wait_for, write_model

from retrain.together import together
from treadle.deploy import Deployments, DesiredRevision, Environments, ReplicaReport, Revision
from treadle.deploy.environments import declared_environments, environment, stretches
from treadle.kernel.clock import ManualClock
from treadle.kernel.config import parse_config
from treadle.kernel.errors import Conflict, NotFound, Refused
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.registry import Registry

DECLARED = """
[environments.staging]
[environments.canary]
roles = ["ops"]
[environments.production]
soak = "30m"
min_requests = 100
max_error_rate = 0.02
[teams.ops]
members = ["dan"]
"""
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def three_versions(project: Path, clock: ManualClock, metadata: str) -> Workspace:
    toml = project / "treadle.toml"
    toml.write_text(f'{toml.read_text()}\n{DECLARED}[store]\nmetadata = "{metadata}"\n')
    opened = Workspace.open(project, clock=clock)
    for number in (1, 2, 3):
        register(opened, write_model(project.parent / f"m{number}", scale=float(number)), f"run_{number}")
    return opened


@pytest.fixture
def workspace(project: Path, clock: ManualClock) -> Iterator[Workspace]:
    """Three environments, and versions 1 to 3 of ``toy``."""
    opened = three_versions(project, clock, "sqlite:///metadata.db")
    yield opened
    opened.close()


@pytest.fixture
def shared(project: Path, clock: ManualClock, metadata_url: str) -> Iterator[Workspace]:
    """The same on each kind of metadata store."""
    opened = three_versions(project, clock, metadata_url)
    yield opened
    opened.close()


def deploy(workspace: Workspace, version: int, name: str, **more) -> Revision:
    key = f"{name}-{version}-{len(Deployments(workspace, name).history('toy'))}"
    return Deployments(workspace, name).deploy("toy", version, "ada", "better", key, **more)


def report(workspace: Workspace, name: str, at: datetime | None = None, **more) -> DesiredRevision | None:
    key = environment(workspace.config, name).key
    told = ReplicaReport(replica="a", model="toy", url="http://x", environment=key, process="p", **more)
    return Deployments(workspace, name).report(told, at)


def serve(workspace: Workspace, version: int, name: str) -> Revision:
    revision = deploy(workspace, version, name)
    report(workspace, name, revision=revision.revision)
    return revision


def lacking(workspace: Workspace, name: str, version: int = 1) -> str:
    return "; ".join(Environments(workspace).lacks(name, Registry(workspace).get(f"toy/{version}")))


def test_each_environment_has_deployments_and_replicas_of_its_own(workspace):
    serve(workspace, 1, "production")
    serve(workspace, 2, "staging")
    serve(workspace, 3, "canary")
    wanted = [report(workspace, name) for name in ("staging", "canary", "production")]
    assert [one and (one.version, one.revision) for one in wanted] == [(2, 2), (3, 3), (1, 1)]
    for name, version in (("staging", 2), ("canary", 3), ("production", 1), ("", 1)):
        status = Deployments(workspace, name).status("toy")
        assert status.serving is not None
        assert (status.serving.version, len(status.replicas)) == (version, 1)
    events = [e for e in timeline(workspace.database, "model:toy") if e.kind == "deployed"]
    assert [e.facts.get("environment") for e in events] == [None, "staging", "canary"]
    assert {e.facts["digest"] for e in events} == {one.id for one in Registry(workspace).list("toy")}


def test_a_replica_may_name_the_last_environment(workspace):
    deploy(workspace, 1, "production")
    told = ReplicaReport(replica="a", model="toy", url="http://x", environment="production", revision=1)
    assert Deployments(workspace).at("production").report(told) is not None
    assert len(Deployments(workspace).status("toy").replicas) == 1


def test_the_last_environment_is_the_deployment_that_there_was_before_any_was_declared(workspace):
    assert [one.key for one in declared_environments(workspace.config)] == ["staging", "canary", ""]
    before = parse_config('[project]\nname = "toy"\n', "treadle.toml")
    assert (declared_environments(before), environment(before, "").key) == ((), "")
    with pytest.raises(NotFound, match="did you mean 'staging'"):
        Deployments(workspace, "stagin")


def test_a_version_comes_in_from_the_environment_before(workspace, clock):
    admit, version = Environments(workspace).admit, Registry(workspace).get("toy/1")
    admit("staging", version, "ada")
    with pytest.raises(Refused, match="it can't go to canary: it has not served in staging") as refused:
        admit("canary", version, "dan")
    assert refused.value.fix == "treadle deploy toy/1 --env staging --reason TEXT"
    serve(workspace, 1, "staging")
    with pytest.raises(Refused, match=r"ada can't deploy to canary: that is for ops\s+→ ask dan"):
        admit("canary", version, "ada")
    admit("canary", version, "dan")
    with pytest.raises(Refused, match="it has not served in canary"):
        admit("production", version, "ada")
    serve(workspace, 2, "production")
    admit("production", Registry(workspace).get("toy/2"), "ada")  # it has served there: going back is free


def test_it_must_have_served_there_long_enough_asked_often_enough_without_errors(workspace, clock):
    clock.at = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    began = clock.at
    deploy(workspace, 1, "canary")
    report(workspace, "canary", began, revision=1)
    clock.at += timedelta(minutes=10)
    report(workspace, "canary", began + timedelta(minutes=5), revision=1, requests=90, errors=9)
    found = lacking(workspace, "production")
    assert "it has served in canary for 10m of 30m" in found
    assert "it has answered 90 of 100 requests in canary" in found
    assert "9 of its 90 requests in canary ended with an error; 0.02 of them may" in found
    clock.at = began + timedelta(minutes=30)
    report(workspace, "canary", began + timedelta(minutes=9), revision=1, requests=900, errors=18)
    assert lacking(workspace, "production") == ""
    # Another version takes its place: the time of the first has ended, and counts.
    deploy(workspace, 2, "canary")
    report(workspace, "canary", began + timedelta(minutes=31), revision=2, requests=2000, errors=2000)
    assert lacking(workspace, "production") == ""
    clock.at += timedelta(minutes=5)
    assert "it has served in canary for 5m of 30m" in lacking(workspace, "production", 2)


def test_a_stage_of_the_registry_can_be_asked_for(project, clock):
    declared = '[registry.stages.reviewed]\n[environments.staging]\nstage = "reviewed"\n'
    (project / "treadle.toml").write_text((project / "treadle.toml").read_text() + declared)
    with_stage = Workspace.open(project, clock=clock)
    register(with_stage, write_model(project.parent / "m"), "run_1")
    assert "must have reached the stage reviewed of the registry, and is candidate" in lacking(
        with_stage, "staging"
    )
    Registry(with_stage).stage("toy", 1, "ada", "ok", "k", to="reviewed")
    assert lacking(with_stage, "staging") == ""
    with_stage.close()


def test_what_was_refused_goes_nowhere(workspace):
    Registry(workspace).refuse("toy", 1, "ada", "bad", "k")
    with pytest.raises(Conflict, match="it is refused and can't go to staging"):
        Environments(workspace).admit("staging", Registry(workspace).get("toy/1"))


def test_what_each_environment_serves_and_served(workspace, clock):
    serve(workspace, 1, "staging")
    then = clock.at
    clock.at += timedelta(hours=1)
    serve(workspace, 2, "staging")
    now = Environments(workspace).everywhere("toy")
    assert [(one.environment, one.next, one.replicas) for one in now] == [
        ("staging", "canary", 1), ("canary", "production", 0), ("production", None, 0)
    ]  # fmt: skip
    assert now[0].served is not None
    assert (now[0].served.version, now[0].served.since, now[0].lacks) == (2, clock.at, ())
    assert now[0].digest == Registry(workspace).get("toy/2").id
    [before, *rest] = Environments(workspace).everywhere("toy", then)
    assert before.served is not None
    assert (before.served.version, before.served.until) == (1, clock.at)
    assert [one.served for one in rest] == [None, None]
    [never, *_] = Environments(workspace).everywhere("toy", then - timedelta(seconds=1))
    assert never.served is None


def test_revisions_of_one_version_that_follow_each_other_are_one_stretch():
    def served(revision: int, version: int, minute: int | None) -> Revision:
        at = NOON if minute is None else NOON + timedelta(minutes=minute)
        return Revision(
            model="toy", revision=revision, version=version, at=at, actor="a", reason="r",
            served_at=None if minute is None else at,
        )  # fmt: skip

    found = stretches(
        [served(1, 1, 0), served(2, 1, 5), served(3, 9, None), served(4, 2, 8), served(5, 1, 9)]
    )
    assert [(one.version, one.revision, one.until and one.until.minute) for one in found] == [
        (1, 2, 8), (2, 4, 9), (1, 5, None)
    ]  # fmt: skip


def test_of_two_who_deploy_at_once_one_wins_and_the_other_is_told(shared):
    for name, expect in (("staging", 0), ("production", 0), ("staging", 1)):
        deployments = Deployments(shared, name)
        before = deployments.history("toy")
        found = together(
            *(
                lambda who=who, n=n, d=deployments, e=expect: d.deploy(
                    "toy", n, who, f"{who} thinks so", f"{who}-{d._here}-{e}", expect=e
                )
                for who, n in (("ada", 1), ("ben", 2), ("cy", 3))
            )
        )
        [won] = [one for one in found if isinstance(one, Revision)]
        lost = [one for one in found if isinstance(one, Conflict)]
        assert len(lost) == 2
        for one in lost:
            assert f"{won.actor} deployed toy/{won.version} meanwhile, revision {won.revision}" in str(one)
        now = deployments.history("toy")
        assert now[-1] == won
        assert len(now) == len(before) + 1
        key = f"{won.actor}-{deployments._here}-{expect}"
        again = deployments.deploy("toy", won.version, won.actor, "again", key, expect=expect)
        assert again.revision == won.revision  # asking twice under one key is asking once
    # In different environments nobody is in anybody's way.
    names = ("staging", "canary", "production") * 2
    found = together(
        *(
            lambda name=name, n=n: Deployments(shared, name).deploy("toy", 1, "ada", "x", f"{name}{n}")
            for n, name in enumerate(names)
        )
    )
    assert sorted(one.revision for one in found) == [4, 5, 6, 7, 8, 9]
    assert [one.state for one in Deployments(shared, "canary").history("toy")] == ["superseded", "pending"]


def test_replicas_of_two_environments_answer_with_the_version_of_theirs(workspace, tmp_path):
    class Platform:
        def report(self, told: ReplicaReport) -> DesiredRevision | None:
            return Deployments(workspace).at(told.environment).report(told)

        def fetch_blob(self, digest: str, path: Path) -> None:
            workspace.blobs.fetch(digest, path)

        def send_segment(self, *_: object) -> None:
            raise AssertionError("nothing is written down before the last environment")

    deploy(workspace, 1, "production")
    deploy(workspace, 2, "staging")
    body = {"inputs": [{"name": "hour", "shape": [1], "datatype": "FP64", "data": [1.0]},
                       {"name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["AA"]}]}  # fmt: skip
    quiet = {"log_predictions": False}
    with (
        running(options(tmp_path / "p", **quiet), Platform()) as last,
        running(options(tmp_path / "s", environment="staging", **quiet), Platform()) as first,
    ):
        assert post(last.url, body)[1]["model_version"] == "1"
        assert post(first.url, body)[1]["model_version"] == "2"
        wait_for(lambda: Deployments(workspace, "staging").status("toy").serving is not None)
        assert [r.url for r in Deployments(workspace, "staging").status("toy").replicas] == [first.url]
