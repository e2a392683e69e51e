from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_parts import Call, Wire
from cli_samples import HEALTH, NOON

from treadle.cli import doctor
from treadle.cli.doctor import Finding
from treadle.kernel.errors import StorageFull, Unavailable


@pytest.fixture
def healthy(wire: Wire, here: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """A project with everything in place, and a server that answers."""
    blobs: dict[str, bytes] = {}

    def put(asked: Any) -> str:
        digest = hashlib.sha256(asked.body).hexdigest()
        blobs[digest] = asked.body
        return digest

    wire.answers["GET /v1/health"] = HEALTH
    wire.answers["POST /v1/blobs"] = put
    wire.answers["GET /v1/blobs/.*"] = lambda asked: blobs[asked.path.split("/")[-1]]
    (project / "data").mkdir()
    (project / "data" / "rows.parquet").touch()
    monkeypatch.chdir(project)
    return wire


def examined(call: Call) -> tuple[dict[str, Finding], int]:
    found = call("doctor", "--json")
    assert found.err == ""
    return {finding.subject: finding for finding in found.json(list[Finding])}, found.code


@pytest.mark.usefixtures("healthy")
def test_all_is_well(call: Call) -> None:
    found, code = examined(call)
    assert {name: finding.state for name, finding in found.items()} == dict.fromkeys(
        ["treadle", "extra platform", "extra sklearn", "git", "treadle.toml", "disk", "data rows", "training",
         "server", "metadata", "blobs"], "ok",
    )  # fmt: skip
    assert code == 0
    out = call("doctor").out
    assert "✓  data rows" in out
    assert "written and read back" in out


def test_without_a_project_it_explains_what_there_is(call: Call, here: Path) -> None:
    found, code = examined(call)
    assert found["project"].state == "warn"
    assert "treadle init" in str(found["project"].fix)
    assert "server" not in found
    assert code == 0


def test_a_broken_file_is_told_with_its_line(call: Call, here: Path) -> None:
    (here / "treadle.toml").write_text('[project]\nnme = "x"\n')
    found, code = examined(call)
    assert found["treadle.toml"].state == "fail"
    assert "treadle.toml:2" in found["treadle.toml"].text
    assert found["treadle.toml"].fix == "did you mean 'name'?"
    assert code == 1
    assert "✗ treadle.toml: did you mean 'name'?" in call("doctor").out


@pytest.mark.usefixtures("healthy")
def test_missing_data_is_told(call: Call, project: Path) -> None:
    (project / "data" / "rows.parquet").unlink()
    found, code = examined(call)
    assert found["data rows"].state == "fail"
    assert code == 1


@pytest.mark.usefixtures("healthy")
def test_who_is_told_of_trouble_is_said(call: Call, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (project / "treadle.toml").open("a") as file:
        file.write('[monitor.notify]\nslack_env = "SLACK_HOOK"\nwebhook = "http://127.0.0.1/hook"\n')
    found = examined(call)[0]["notices"]
    assert (found.state, "SLACK_HOOK is not set" in found.text) == ("warn", True)
    monkeypatch.setenv("SLACK_HOOK", "http://127.0.0.1/slack")
    found = examined(call)[0]["notices"]
    assert (found.state, "webhook, Slack" in found.text) == ("ok", True)


@pytest.mark.usefixtures("healthy")
def test_a_webhook_without_its_secret_is_told(
    call: Call, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (project / "treadle.toml").open("a") as file:
        file.write('[retrain.triggers.push]\non = "webhook"\nsecret = "PUSH_SECRET"\n')
    found = examined(call)[0]["triggers"]
    assert (found.state, "PUSH_SECRET is not set" in found.text) == ("warn", True)
    monkeypatch.setenv("PUSH_SECRET", "x")
    assert "triggers" not in examined(call)[0]


@pytest.mark.usefixtures("healthy")
def test_a_command_that_is_not_there_is_told(call: Call, project: Path) -> None:
    path = project / "treadle.toml"
    path.write_text(path.read_text().replace("python train.py", "no-such-program train.py"))
    found, code = examined(call)
    assert found["training"].text == "'no-such-program' isn't found"
    assert code == 1
    (project / "no-such-program").touch(mode=0o755)
    assert examined(call)[1] == 1  # a program of the project is called by ./NAME
    path.write_text(path.read_text().replace("no-such-program", "./no-such-program"))
    assert examined(call)[1] == 0
    path.write_text(path.read_text().replace("./no-such-program train.py", "python 'train.py"))
    assert examined(call)[0]["training"].state == "fail"


def test_a_server_that_is_away_is_told(call: Call, healthy: Wire) -> None:
    healthy.answers["GET /v1/health"] = Unavailable("no answer", fix="is it running?")
    found, code = examined(call)
    assert found["server"].state == "fail"
    assert found["server"].fix == "is it running?"
    assert code == 1


def test_it_outlives_a_workspace_that_breaks(call: Call, healthy: Wire) -> None:
    healthy.answers["GET /v1/health"] = lambda _: 1 / 0
    found, code = examined(call)
    assert "ZeroDivisionError" in found["server"].text
    assert code == 1


def test_a_full_store_is_told(call: Call, healthy: Wire) -> None:
    healthy.answers["POST /v1/blobs"] = StorageFull("no space is left", fix="free some")
    found, code = examined(call)
    assert (found["blobs"].state, found["blobs"].fix) == ("fail", "free some")
    assert code == 1


def test_a_store_that_gives_other_bytes_is_told(call: Call, healthy: Wire) -> None:
    healthy.answers["GET /v1/blobs/.*"] = b"other"
    assert examined(call)[0]["blobs"].text == ".treadle/blobs gave other bytes back"


def test_another_version_and_a_replay_are_worth_knowing(call: Call, healthy: Wire) -> None:
    healthy.answers["GET /v1/health"] = msgspec.structs.replace(
        HEALTH, version="9.9.9", replaying=True, now=NOON
    )
    found, code = examined(call)
    assert found["version"].state == "warn"
    assert found["clock"].text == "replaying: 2013-07-01 12:00"
    assert code == 0


@pytest.mark.usefixtures("healthy")
def test_a_store_that_cannot_be_a_folder_is_told(call: Call, project: Path) -> None:
    (project / ".treadle").write_text("a file")
    found, code = examined(call)
    assert found["store blobs"].state == "fail"
    assert code == 1


@pytest.mark.usefixtures("healthy")
def test_little_disk_is_told(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    for free, state in ((50 << 20, "fail"), (500 << 20, "warn"), (50 << 30, "ok")):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        assert examined(call)[0]["disk"].state == state


@pytest.mark.usefixtures("healthy")
def test_the_thin_client_is_told_what_it_lacks(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in ("dbos", "sklearn") else object())
    found, code = examined(call)
    assert found["extra platform"].text == "lacks dbos"
    assert "pip install 'treadle[sklearn]'" in str(found["extra sklearn"].fix)
    assert code == 0


@pytest.mark.usefixtures("healthy")
def test_no_git_is_worth_knowing(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(
        doctor.shutil, "which", lambda name, **rest: None if name == "git" else which(name, **rest)
    )
    assert examined(call)[0]["git"].state == "warn"
