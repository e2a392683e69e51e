"""``treadle models export`` and ``import``, through the real application and a real server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest
from cli_parts import Call

from live import Up, live  # noqa: F401 - the fixture
from servers import program
from treadle.client import Client
from treadle.registry import ModelVersion


@pytest.fixture
def production(here: Path) -> Path:
    """Another project, which has nothing."""
    (here / "treadle.toml").write_text('[project]\nname = "production"\n')
    return here


def test_a_version_goes_from_one_environment_to_the_next_by_a_file_or_a_server(
    live: Up,  # noqa: F811 - the fixture
    production: Path,
    call: Call,
) -> None:
    with Client.http(live.url) as staging:
        made = staging.model("toy@production")
    done = call("--url", live.url, "models", "export", "toy@production", "-o", "toy.tar")
    assert done.out.startswith("wrote toy.tar, ")
    assert (production / "toy.tar").stat().st_size > 1024
    done = call("models", "import", "toy.tar")
    assert done.out == (
        f"toy/1 is candidate, {made.id[:16]}, from {made.ref} of toy\nnext: treadle models show toy/1\n"
    )
    again = call("models", "import", "toy@production", "--from", live.url, "--json")
    found = msgspec.json.decode(again.out, type=ModelVersion)
    assert (found.ref, found.id) == ("toy/1", made.id), "it is the same, and here already"
    assert "of toy, production there" in call("models", "show", "toy/1").out
    other = call("models", "import", "toy@production", "--from", live.url, "--model", "late", "--json")
    assert msgspec.json.decode(other.out, type=ModelVersion).ref == "late/1"


def test_what_cannot_be_taken_is_told(production: Path, call: Call) -> None:
    done = call("models", "import", "toy.tar")
    assert (done.code, "it can't be read: No such file" in done.err) == (2, True)
    (production / "toy.tar").write_bytes(b"PK")
    done = call("models", "import", "toy.tar")
    assert (done.code, "it is no archive of a model version" in done.err) == (2, True)
    assert call("models", "import", "toy", "--from", "http://127.0.0.1:9").code == 2


def test_an_archive_that_is_signed_says_by_whom(
    live: Up,  # noqa: F811 - the fixture
    production: Path,
    call: Call,
) -> None:
    program("ssh-keygen", package="openssh-client")
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada@shop", "-f", "key"]
    subprocess.run(made, check=True, cwd=production)
    policy = f'[registry]\nsigned = true\ntrusted_keys = ["{(production / "key.pub").read_text().strip()}"]\n'
    (production / "treadle.toml").write_text(f'[project]\nname = "production"\n{policy}')
    export = ["--url", live.url, "models", "export", "toy@production", "-o"]
    assert call(*export, "plain.tar").code == 0
    refused = call("models", "import", "plain.tar")
    assert (refused.code, "it isn't signed" in refused.err) == (2, True)
    assert call(*export, "toy.tar", "--sign", "key").code == 0
    assert "signed by ada@shop" in call("models", "import", "toy.tar").out
    assert "signed by ada@shop" in call("models", "show", "toy/1").out
    lost = call(*export, "lost.tar", "--sign", "nokey")
    assert (lost.code, "there is no such key" in lost.err) == (2, True)
    assert not (production / "lost.tar").exists()
