"""Signed archives: checked by OpenSSH itself, and refused where the signature or the signer isn't right."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from servers import program
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import CorruptData, InvalidInput, Refused, Unavailable
from treadle.kernel.workspace import Workspace
from treadle.registry import Archives, ModelVersion, sign_archive
from treadle.registry.archive.signing import MEMBER


@pytest.fixture(autouse=True)
def ssh_keygen() -> str:
    return program("ssh-keygen", package="openssh-client")


def made_key(folder: Path, name: str, kind: str = "ed25519") -> tuple[Path, str]:
    """A private key without a passphrase, and its public one."""
    path = folder / name
    command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"{name}@shop", "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path, path.with_suffix(".pub").read_text().strip()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Two keys: of Ada, and of Eve."""
    folder = tmp_path_factory.mktemp("keys")
    return {name: made_key(folder, name) for name in ("ada", "eve")}


@pytest.fixture(scope="module")
def plain(judged: Workspace) -> bytes:
    return b"".join(Archives(judged).pack("toy/1").pieces)


@pytest.fixture(scope="module")
def signed(
    plain: bytes, keys: dict[str, tuple[Path, str]], tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """The archive, signed by Ada."""
    path = tmp_path_factory.mktemp("signed") / "toy.tar"
    path.write_bytes(plain)
    sign_archive(path, keys["ada"][0])
    return path.read_bytes()


@pytest.fixture
def take(tmp_path: Path, clock: ManualClock) -> Callable[..., ModelVersion]:
    """Takes an archive in, into a project that trusts some keys."""

    def taken(data: bytes, *trusted: str, required: bool = True) -> ModelVersion:
        folder = tmp_path / f"other{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        listed = ", ".join(f'"{key}"' for key in trusted)
        policy = f"[registry]\ntrusted_keys = [{listed}]\nsigned = {str(required).lower()}\n"
        (folder / "treadle.toml").write_text(f'[project]\nname = "other"\n{policy}')
        (folder / "given.tar").write_bytes(data)
        workspace = Workspace.open(folder, clock=clock)
        try:
            return Archives(workspace).take(folder / "given.tar", "grace")
        finally:
            workspace.close()

    return taken


def test_what_a_trusted_key_signed_is_taken_in_and_says_so(take, signed, keys) -> None:
    ada, eve = keys["ada"][1], keys["eve"][1]
    found = take(signed, eve, ada)
    assert found.imported is not None
    assert found.imported.signed_by == "ada@shop"


def test_where_a_signature_is_asked_for_nothing_else_comes_in(take, plain, signed, keys) -> None:
    eve = keys["eve"][1]
    with pytest.raises(Refused, match="it isn't signed") as error:
        take(plain, eve)
    assert "--sign by one of [registry] trusted_keys" in (error.value.fix or "")
    with pytest.raises(Refused, match=r"by a key that isn't trusted here \(.*SHA256:"):
        take(signed, eve)


def test_where_none_is_asked_for_only_the_trusted_is_named(take, plain, signed, keys) -> None:
    eve = keys["eve"][1]
    for data in (plain, signed):
        found = take(data, eve, required=False)
        assert found.imported is not None
        assert found.imported.signed_by == ""
    assert take(signed, required=False).ref == "toy/1"


def test_a_signature_of_something_else_is_damage(take, plain, signed, keys, tmp_path) -> None:
    ada = keys["ada"][1]
    at = signed.index(b"-----BEGIN SSH SIGNATURE-----")
    broken = bytearray(signed)
    broken[at + 200] ^= 1
    with pytest.raises(CorruptData, match="its signature isn't one of what it holds"):
        take(bytes(broken), ada, required=False)
    # One of another manifest, and one for another purpose.
    for given, space in ((b"another manifest", "treadle-model"), (manifest_of(signed), "git")):
        command = ["ssh-keygen", "-Y", "sign", "-f", str(keys["ada"][0]), "-n", space]
        other = subprocess.run(command, input=given, capture_output=True, check=True).stdout
        with pytest.raises(CorruptData, match="its signature isn't one of what it holds"):
            take(with_member(plain, MEMBER, other), ada)
    with pytest.raises(CorruptData, match="which its manifest doesn't name so"):
        take(with_member(plain, MEMBER, bytes(70_000)), ada)
    with pytest.raises(CorruptData, match="behind its signature"):
        take(with_member(signed, MEMBER, b"once more"), ada)


def manifest_of(data: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        file = archive.extractfile(archive.getmembers()[0])
        assert file is not None
        return file.read()


def with_member(data: bytes, name: str, content: bytes) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return data[:-1024] + member.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512 + 1024)


def test_the_signature_is_one_that_openssh_checks_without_treadle(signed, plain, keys, tmp_path) -> None:
    with tarfile.open(fileobj=io.BytesIO(signed)) as archive:
        names = archive.getnames()
        archive.extractall(tmp_path, filter="data")
    assert (names[0].startswith("manifest-"), names[-1]) == (True, "signature.sig")
    (tmp_path / "allowed").write_text(f"ada {keys['ada'][1]}\n")
    command = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "ada", "-n", "treadle-model"]
    done = subprocess.run(
        [*command, "-s", "signature.sig"], cwd=tmp_path, input=(tmp_path / names[0]).read_bytes(),
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert signed[: len(plain) - 1024] == plain[:-1024], "nothing else has changed"


def test_signing_again_replaces_the_signature(signed, plain, keys, tmp_path, take) -> None:
    path = tmp_path / "toy.tar"
    path.write_bytes(signed)
    sign_archive(path, keys["eve"][0])
    assert path.stat().st_size == len(signed)
    found = take(path.read_bytes(), keys["eve"][1])
    assert found.imported is not None
    assert found.imported.signed_by == "eve@shop"


def test_a_key_that_can_not_sign_and_no_openssh(signed, keys, tmp_path, monkeypatch, take) -> None:
    path = tmp_path / "toy.tar"
    path.write_bytes(signed)
    (tmp_path / "none").write_text("no key")
    with pytest.raises(InvalidInput, match="it can't be signed"):
        sign_archive(path, tmp_path / "none")
    assert path.read_bytes() == signed
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="there is no ssh-keygen on this machine"):
        take(signed, keys["ada"][1])
    with pytest.raises(Unavailable, match="there is no ssh-keygen on this machine"):
        sign_archive(path, keys["ada"][0])
