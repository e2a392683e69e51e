"""From staging to production: a cycle delivers to the first environment, people promote what served there."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from retrain.together import together
from retrain.wheel import FIRST, SECOND, make, opened, turn, wait_for
from treadle.deploy import Deployments, ReplicaReport, Revision
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import Conflict, NotFound, Refused
from treadle.kernel.workspace import Workspace
from treadle.registry import Approvals, Registry
from treadle.retrain import approve, in_production, redeploy
from treadle.retrain.publish import move_stage

DECLARED = "[environments.staging]\n[environments.production]\n"


def declared(root: Path, text: str = DECLARED) -> Path:
    file = root / "treadle.toml"
    file.write_text(file.read_text() + text)
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two environments; versions 1 and 2, which cycles made and delivered to the first."""
    root = declared(make(tmp_path_factory.mktemp("two") / "project", replicas="1"))
    clock = ManualClock(FIRST)
    with opened(root, clock) as workspace:
        for clock.at in (FIRST, SECOND):
            cycle = turn(workspace)
            assert cycle.state == "held"
        assert cycle.stages[-2].summary.endswith("; deployed to staging, revision 2")
    return root


@pytest.fixture
def two(made: Path, tmp_path: Path, clock: ManualClock) -> Iterator[Workspace]:
    """A copy of it."""
    shutil.copytree(made, tmp_path / "project")
    with opened(tmp_path / "project", clock) as workspace:
        yield workspace


def beat(workspace: Workspace, name: str, revision: int | None = None) -> None:
    """A replica there says that it lives, and what it answers with."""
    key = "" if name == "production" else name
    report = ReplicaReport(replica="r", model="toy", url="http://x", environment=key, revision=revision)
    Deployments(workspace, name).report(report)


@contextmanager
def answering(workspace: Workspace, *names: str) -> Iterator[None]:
    """Replicas that answer with what is wanted of them, as soon as it is."""
    done = threading.Event()

    def serve() -> None:
        while not done.wait(0.02):
            for name in names:
                wanted = Deployments(workspace, name).desired("toy")
                beat(workspace, name, wanted.revision if wanted else None)

    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve)
        for name in names:
            wait_for(lambda name=name: bool(Deployments(workspace, name).status("toy").replicas))
        try:
            yield
        finally:
            done.set()
            serving.result(timeout=30)


def statuses(workspace: Workspace) -> list[str]:
    return [version.status for version in reversed(Registry(workspace).list("toy"))]


def test_what_served_in_staging_goes_to_production_byte_for_byte(two, clock):
    registry, digest = Registry(two), Registry(two).get("toy/2").id
    with pytest.raises(Refused, match="it can't go to production: it has not served in staging"):
        redeploy(two, "toy/2", "ada", "now", environment="production")
    for door in (approve, redeploy):  # whoever asks, and however
        with pytest.raises(Refused, match="it has not served in staging"):
            door(two, "toy/2", "ada", "now")
    with pytest.raises(Refused, match="it has not served in staging"):
        move_stage(two, "toy", "2", "Production")
    assert Deployments(two).history("toy") == []
    assert statuses(two) == ["candidate", "candidate"]

    with answering(two, "staging", "production"):
        wait_for(lambda: Deployments(two, "staging").status("toy").serving is not None)
        revision = redeploy(two, "toy/2", "ada", "looks right", environment="production")
        assert (revision.revision, revision.version, revision.environment) == (3, 2, "")
        assert statuses(two) == ["candidate", "production"]
        assert registry.production("toy").id == digest
        wanted = [Deployments(two, name).desired("toy") for name in ("staging", "production")]
        files = {file.path: file.digest for file in registry.get("toy/2").files}
        assert [one.files for one in wanted] == [files, files]
        # What staging serves is not what was in production.
        redeploy(two, "toy/1", "ben", "to look at it", environment="staging")
        [told] = in_production(two, "toy", clock.now())
        assert (told.ref, told.share, told.revision) == ("toy/2", 1.0, 3)
        # Going back asks nobody again.
        redeploy(two, "toy/1", "ada", "x", environment="production")
        back = redeploy(two, "toy/2", "ada", "it was better")
        assert (back.version, statuses(two)) == (2, ["deprecated", "production"])


def test_an_environment_that_is_not_declared_is_refused(two):
    with pytest.raises(NotFound, match="there is no environment 'stage'"):
        redeploy(two, "toy/2", "ada", "x", environment="stage")


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(two):
    with answering(two, "staging", "production"):
        wait_for(lambda: Deployments(two, "staging").status("toy").serving is not None)
        redeploy(two, "toy/1", "ada", "x", environment="staging")
        found = together(
            *(
                lambda who=who, ref=ref: redeploy(two, ref, who, "mine", environment="production", expect=0)
                for who, ref in (("ada", "toy/1"), ("ben", "toy/2"))
            )
        )
    [won] = [one for one in found if isinstance(one, Revision)]
    [lost] = [one for one in found if isinstance(one, Conflict)]
    assert f"{won.actor} deployed toy/{won.version} meanwhile" in str(lost)
    assert Registry(two).production("toy").number == won.version
    assert sorted(statuses(two)) == ["candidate", "production"]


def test_what_was_overtaken_while_it_loaded_does_not_become_production(two):
    """Without this the registry could say one version while another serves."""
    with answering(two, "staging"):
        wait_for(lambda: Deployments(two, "staging").status("toy").serving is not None)
        redeploy(two, "toy/1", "ada", "x", environment="staging")
    beat(two, "production")  # a replica lives: whoever deploys waits for it
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(redeploy, two, "toy/1", "ada", "first")
        wait_for(lambda: len(Deployments(two).history("toy")) == 1)
        fast = pool.submit(redeploy, two, "toy/2", "ben", "second")
        wait_for(lambda: len(Deployments(two).history("toy")) == 2)
        with pytest.raises(Conflict, match=r"ben deployed toy/2 \(revision 5\) before revision 4 had become"):
            slow.result(timeout=30)
        beat(two, "production", 5)
        assert fast.result(timeout=30).version == 2
    assert Registry(two).production("toy").number == 2
    assert statuses(two) == ["candidate", "production"]


def test_a_version_whose_files_are_gone_is_not_gone_back_to(two):
    with answering(two, "staging", "production"):
        wait_for(lambda: Deployments(two, "staging").status("toy").serving is not None)
        redeploy(two, "toy/2", "ada", "x", environment="production")
        redeploy(two, "toy/1", "ada", "x", environment="staging")
        redeploy(two, "toy/1", "ada", "x", environment="production")
        before = Deployments(two).history("toy")
        [gone] = [f.digest for f in Registry(two).get("toy/2").files if f.path == "model.onnx"]
        next((two.root / ".treadle/blobs").rglob(gone[2:])).unlink()
        with pytest.raises(NotFound, match=r"model\.onnx of toy/2 isn't in the blob store any more"):
            redeploy(two, "toy/2", "ada", "it was better")
        assert Deployments(two).history("toy") == before
        assert statuses(two) == ["production", "deprecated"]


def test_an_environment_takes_those_who_may_deploy_there(two, clock):
    folder = two.root
    file = folder / "treadle.toml"
    file.write_text(file.read_text() + 'roles = ["ops"]\n[teams.ops]\nmembers = ["dan"]\n')
    with opened(folder, clock) as workspace, answering(workspace, "staging", "production"):
        wait_for(lambda: Deployments(workspace, "staging").status("toy").serving is not None)
        for door in (approve, redeploy):
            with pytest.raises(Refused, match=r"ada can't deploy to production: that is for ops\s+→ ask dan"):
                door(workspace, "toy/2", "ada", "now")
        with pytest.raises(Refused, match="mlflow can't deploy to production"):
            move_stage(workspace, "toy", "2", "Production")
        assert statuses(workspace) == ["candidate", "candidate"]
        assert Approvals(workspace).standing("toy/2").approvals == ()
        assert redeploy(workspace, "toy/2", "dan", "now").state == "serving"
