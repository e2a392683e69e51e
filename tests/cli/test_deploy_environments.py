"""``treadle deploy`` with environments: where to, what is shown, and what is refused before it is asked."""

from __future__ import annotations

import msgspec
import pytest
from cli_parts import Call, Wire
from cli_samples import DEPLOYMENT, HEALTH, NOON

from treadle.deploy import DeploymentStatus, InEnvironment, Revision, Stretch
from treadle.deploy.types import ArmCounts, DeploymentPlan, Rollout

STAGING = InEnvironment(
    environment="staging",
    served=Stretch(version=4, revision=7, since=NOON),
    digest="ab" * 32,
    actor="ada",
    reason="to see",
    replicas=1,
    next="production",
    lacks=("it has served in staging for 3m of 30m",),
)
PRODUCTION = InEnvironment(environment="production", served=None)


def revision(number: int, version: int, environment: str = "") -> Revision:
    return Revision(
        model="flights", revision=number, version=version, at=NOON, actor="ada", reason="r",
        state="serving", served_at=NOON, environment=environment,
    )  # fmt: skip


@pytest.fixture
def wire(wire: Wire) -> Wire:
    wire.answers = {
        "GET /v1/health": HEALTH,
        "GET /v1/deployments/flights/environments": [STAGING, PRODUCTION],
        "GET /v1/deployments/flights/revisions": [revision(5, 3), revision(7, 4)],
        "POST /v1/deployments": revision(8, 4, "staging"),
        "GET /v1/deployments/flights": DEPLOYMENT,
        "GET /v1/models/flights/production": [],
    }
    return wire


def test_a_version_goes_to_the_environment_if_nobody_came_before(call: Call, wire: Wire) -> None:
    done = call("deploy", "flights/4", "--env", "staging", "--reason", "to see")
    assert done.code == 0
    asked = wire.asked[-1]
    assert asked.query["environment"] == "staging"
    assert (asked.query["ref"], asked.query["expect"]) == ("flights/4", "7")
    assert wire.asked[-2].path == "/v1/required-load-test"
    assert wire.asked[-3].query == {"environment": "staging"}  # whose newest revision that is
    assert "treadle deploy status --env staging" in done.out


@pytest.mark.parametrize("given", [["--to", "production"], ["--from", "staging"],
                                   ["--from", "staging", "--to", "production"]])  # fmt: skip
def test_what_serves_in_one_goes_to_the_next(call: Call, wire: Wire, given: list[str]) -> None:
    assert call("deploy", "promote", "flights", *given, "--reason", "fine").code == 0
    query = wire.asked[-1].query
    assert (query["ref"], query["environment"], query["reason"]) == ("flights/4", "production", "fine")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--to", "staging"], "--from staging --to production"),
        (["--from", "production"], "from each environment to the next"),
        (["--to", "prodution"], "did you mean 'production'"),
        (["--to", "production", "--env", "staging"], "--env is for a trial"),
        (["--strategy", "canary"], "add --to NAME"),
    ],
)
def test_a_promotion_that_cannot_be_is_refused(call: Call, wire: Wire, given: list[str], told: str) -> None:
    done = call("deploy", "promote", "flights", *given, "--reason", "x")
    assert done.code == 2
    assert told in done.err
    assert not [one for one in wire.asked if one.method == "POST"]


def test_nothing_comes_from_where_nothing_serves(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/deployments/flights/environments"] = [
        InEnvironment(environment="staging", served=None, next="production"), PRODUCTION
    ]  # fmt: skip
    done = call("deploy", "promote", "flights", "--to", "production", "--reason", "x")
    assert "nothing of flights serves in staging" in done.err


def test_the_status_shows_every_environment_and_what_is_lacking(call: Call, wire: Wire) -> None:
    told = call("deploy", "status").out
    assert "abababababab" in told
    assert "not yet to production: it has served in staging for 3m of 30m" in told
    call("deploy", "status", "--env", "staging")
    assert wire.asked[-1].query == {"environment": "staging"}


def test_history_tells_what_each_environment_served(call: Call, wire: Wire) -> None:
    told = call("history", "flights", "--at", "2026-03-01").out
    assert "staging" in told
    assert "flights/4" in told
    assert wire.asked[-1].query == {"at": "2026-03-01T00:00:00+00:00"}


def test_a_rollback_is_of_one_environment(call: Call, wire: Wire) -> None:
    assert call("deploy", "rollback", "flights", "--env", "staging", "--to", "3").code == 0
    assert wire.asked[-1].query["environment"] == "staging"
    assert wire.asked[-1].query["expect"] == "7"


def test_the_status_says_how_to_go_on_before_anything_is_in_production(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/deployments/flights"] = DeploymentStatus(
        model="flights", desired=None, serving=None, replicas=[]
    )
    assert "next: treadle deploy status flights --env staging" in call("deploy", "status").out
    ready = msgspec.structs.replace(STAGING, lacks=())
    wire.answers["GET /v1/deployments/flights/environments"] = [ready, PRODUCTION]
    told = call("deploy", "status").out
    assert "next: treadle deploy promote flights --from staging --to production --reason 'why'" in told
    assert "nothing of flights has been deployed" not in told


def test_what_serves_in_both_has_nowhere_to_go(call: Call, wire: Wire) -> None:
    there = msgspec.structs.replace(PRODUCTION, served=STAGING.served)
    wire.answers["GET /v1/deployments/flights/environments"] = [STAGING, there]
    told = call("deploy", "status").out
    assert "serves in production as well" in told
    assert "not yet to production" not in told


def test_a_rollback_is_looked_at_first(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/deployment-plan"] = DeploymentPlan(
        model="flights",
        version=3,
        serving=revision(7, 4),
        plan=None,
        replicas=2,
        replaces=None,
        changes=(),
    )
    found = call("deploy", "rollback", "--plan")
    assert found.code == 0
    assert found.out.splitlines()[1].split() == ["would", "serve", "flights/3"]
    assert found.out.splitlines()[-1] == "next: treadle deploy rollback flights"
    assert wire.asked[-1].query == {"ref": "flights/3", "strategy": "at-once"}
    assert wire.made("POST /v1/deployments") == []
    trial = Rollout(
        revision=msgspec.structs.replace(revision(8, 5), state="trial"),
        steps=3,
        share=0.05,
        shadow=False,
        counts=ArmCounts(),
        beside=ArmCounts(),
        guards=(),
        waits="",
    )
    wire.answers["GET /v1/deployments/flights"] = msgspec.structs.replace(DEPLOYMENT, rollout=trial)
    told = call("deploy", "rollback", "--plan").out
    assert told.startswith("flights/5, revision 8, would be taken out of its trial\n")
    assert [asked.path for asked in wire.asked if asked.method != "GET"] == []
