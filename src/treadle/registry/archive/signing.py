"""Signatures of archives, as OpenSSH makes them (``ssh-keygen -Y sign``).

What is signed are the bytes of the manifest, which names all else by digest, in the namespace
``treadle-model``. The format is OpenSSH's PROTOCOL.sshsig, which Git signs commits with as well; keys
are those that people have, in files, agents and security keys.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from treadle.kernel.errors import CorruptData, InvalidInput, Refused, Unavailable

MEMBER = "signature.sig"
LARGEST = 64 << 10
_NAMESPACE = "treadle-model"
_BLOCK = 512
_END = bytes(2 * _BLOCK)
_SECONDS = 30
_WAIT_FOR_A_PERSON = 300


def sign_archive(path: Path, key: Path) -> None:
    """Signs an archive; a signature that it has already is replaced.

    Args:
        path: The archive, as it was just exported.
        key: The private key, or a public one whose private one an agent has.

    Raises:
        InvalidInput: If the key can't sign.
        Unavailable: If there is no ``ssh-keygen``.
    """
    with path.open("r+b") as file:
        head = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "strict")
        command = ["-Y", "sign", "-f", os.fspath(key), "-n", _NAMESPACE]
        # It may ask for a passphrase, at the terminal, or for a touch of a security key.
        done = _run(command, file.read(head.size), _WAIT_FOR_A_PERSON)
        if done.returncode:
            raise InvalidInput(
                f"it can't be signed: {_said(done)}", where=str(key), fix="give an ed25519 key of OpenSSH"
            )
        file.seek(_end_of(file.seek(0, os.SEEK_END), path))
        member = tarfile.TarInfo(MEMBER)
        member.size = len(done.stdout)
        file.write(member.tobuf(tarfile.GNU_FORMAT) + done.stdout + bytes(-member.size % _BLOCK) + _END)


def _end_of(size: int, path: Path) -> int:
    """Where the members of an archive end, but for a signature."""
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1]
    return last.offset if last.name == MEMBER else size - len(_END)


def check_signature(
    manifest: bytes, signature: bytes | None, trusted: Sequence[str], where: str, *, required: bool
) -> str:
    """Who signed an archive, of those who are trusted; empty if none of them did.

    Args:
        manifest: The manifest's bytes.
        signature: The signature; None if there is none.
        trusted: Public keys as OpenSSH writes them.
        where: What the archive is called in errors.
        required: Whether one of them must have.

    Returns:
        The key's comment, or its beginning where it has none.

    Raises:
        CorruptData: If the signature isn't one of these bytes.
        Refused: If it is required and there is none by a trusted key.
        Unavailable: If there is no ``ssh-keygen`` to check it with.
    """
    if signature is None:
        if required:
            raise _refused("it isn't signed", where)
        return ""
    if not trusted and not required:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        given, allowed = Path(folder) / MEMBER, Path(folder) / "allowed"
        given.write_bytes(signature)
        lines = [f'key{n} namespaces="{_NAMESPACE}" {key}' for n, key in enumerate(trusted)]
        allowed.write_text("\n".join(lines) + "\n")
        sig = ["-s", os.fspath(given)]
        whole = _run(["-Y", "check-novalidate", "-n", _NAMESPACE, *sig], manifest)
        if whole.returncode:
            raise CorruptData(
                f"its signature isn't one of what it holds: {_said(whole)}",
                where=where,
                fix="get the archive again; nothing was imported",
            )
        found = _run(["-Y", "find-principals", *sig, "-f", os.fspath(allowed)], b"")
        name = found.stdout.decode().split("\n", 1)[0].strip() if not found.returncode else ""
        if name:
            known = ["-I", name, "-n", _NAMESPACE, *sig]
            if not _run(["-Y", "verify", "-f", os.fspath(allowed), *known], manifest).returncode:
                return _named(trusted[int(name.removeprefix("key"))])
    if required:
        by = _said(whole).removeprefix('Good "treadle-model" signature with ')
        raise _refused(f"it is signed by a key that isn't trusted here ({by})", where)
    return ""


def _named(key: str) -> str:
    kind, text, *comment = key.split(maxsplit=2)
    return comment[0] if comment else f"{kind} {text[:24]}"


def _run(arguments: list[str], given: bytes, seconds: float = _SECONDS) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments], input=given, capture_output=True, timeout=seconds, check=False
        )
    except FileNotFoundError:
        raise Unavailable(
            "there is no ssh-keygen on this machine, which signs and checks archives",
            fix="install OpenSSH's client, 8.9 or later (apt install openssh-client)",
        ) from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"ssh-keygen did not end within {seconds:g} seconds", fix="try again") from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr + done.stdout).decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else f"ssh-keygen ended with {done.returncode}"


def _refused(what: str, where: str) -> Refused:
    return Refused(
        what,
        where=where,
        fix="have it exported with --sign by one of [registry] trusted_keys; nothing was imported",
    )
