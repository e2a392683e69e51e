"""Stores that can't be used: every command says so, and nothing in them is changed."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from e2e.user import TRACE, User, failed, refused
from e2e.user import State as Whole
from servers import S3

COMMANDS = (("run",), ("data", "add", "rows"), ("history",), ("up", "--port", "0"))


def bytes_of(folder: Path) -> dict[str, str]:
    """Every file of the workspace that is not a lock, by the digest of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock" and not path.name.endswith(("-wal", "-shm"))
    }


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_workspace_of_a_newer_version_is_left_alone(user: User, command: tuple[str, ...]) -> None:
    with sqlite3.connect(user.folder / ".treadle" / "treadle.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = user.state()
    refused(user.run(*command), "this workspace has schema 9999", ".treadle/treadle.db", "upgrade Treadle")
    assert user.state() == before


DAMAGE = {
    "garbage": (lambda raw: b"\x17" * len(raw), "file is not a database"),
    "cut off": (lambda raw: raw[:20_000], "database disk image is malformed"),
    "of another program": (lambda _: b"not a database at all", "file is not a database"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_corrupt_metadata_store_is_left_as_it_is(user: User, name: str) -> None:
    damage, what = DAMAGE[name]
    store = user.folder / ".treadle" / "treadle.db"
    store.write_bytes(damage(store.read_bytes()))
    before = bytes_of(user.folder)
    for command in (("run",), ("runs",)):
        refused(user.run(*command), what, ".treadle/treadle.db", "from a backup")
    assert bytes_of(user.folder) == before


def test_doctor_finds_a_corrupt_metadata_store(user: User) -> None:
    (user.folder / ".treadle" / "treadle.db").write_bytes(b"\x17" * 5000)
    done = user.run("doctor")
    assert done.code == 1
    assert "file is not a database" in done.out
    assert TRACE not in done.out + done.err


@pytest.fixture
def read_only(user: User, full_disk: Path) -> User:
    """The project on a disk that can only be read."""
    subprocess.run(["cp", "-a", user.folder, full_disk / "toy"], check=True)
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*sudo, "mount", "-o", "remount,ro", full_disk], check=True)
    return User(full_disk / "toy")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_project_folder_that_can_only_be_read(read_only: User, command: tuple[str, ...]) -> None:
    before = bytes_of(read_only.folder)
    what = "Read-only file system" if command[0] == "up" else "unable to open database file"
    refused(read_only.run(*command), what, ".treadle/", "writable")
    assert bytes_of(read_only.folder) == before


def store(user: User, *lines: str) -> Whole:
    """Points ``[store]`` elsewhere; returns what the workspace holds."""
    with (user.folder / "treadle.toml").open("a") as file:
        file.write("\n".join(["[store]", *lines, ""]))
    return user.state()


def test_a_postgres_that_does_not_answer(user: User) -> None:
    before = store(user, 'metadata = "postgresql://ada:s3cret@127.0.0.1:9/treadle"')
    done = user.run("run")
    refused(
        done,
        "connection refused".capitalize(),
        "postgresql://ada:***@127.0.0.1:9/treadle",
        "[store] metadata",
    )
    assert user.state() == before


@pytest.mark.postgres
def test_a_postgres_that_does_not_let_in(user: User, postgres_url: str) -> None:
    before = store(user, f'metadata = "{postgres_url.replace("treadle@", "nobody@")}"')
    refused(user.run("run"), 'role "nobody" does not exist', "postgresql://nobody@", "[store] metadata")
    assert user.state() == before


def s3_lines(endpoint: str, bucket: str, key: str, secret: str) -> tuple[str, ...]:
    keys = f'access_key_id = "{key}", secret_access_key = "{secret}"'
    place = f'endpoint = "{endpoint}", region = "us-east-1", allow_http = "true"'
    return f'blobs = "s3://{bucket}/blobs"', f"options = {{ {place}, {keys} }}"


def test_an_s3_store_that_does_not_answer(user: User) -> None:
    before = store(user, *s3_lines("http://127.0.0.1:9", "models", "ada", "s3cret"))
    done = user.run("data", "add", "rows")
    refused(done, "the blob store failed", "s3://models/blobs", "see that it answers")
    assert "s3cret" not in done.err
    assert user.state() == before
    failed(user.run("run"), "the blob store failed", "s3://models/blobs", "see that it answers")
    assert user.state().keeps(before, "cycles", "events")


@pytest.mark.s3
def test_an_s3_store_that_does_not_let_in(user: User, s3: S3) -> None:
    before = store(user, *s3_lines(s3.endpoint, s3.bucket, s3.access_key_id, "wrong"))
    done = user.run("data", "add", "rows")
    refused(done, "the blob store failed", f"s3://{s3.bucket}/blobs", "check the keys")
    assert user.state() == before


def test_corrupt_notes_of_the_workflow_engine_are_not_needed(user: User) -> None:
    notes = user.folder / ".treadle" / "workflows.db"
    kept = notes.read_bytes()
    notes.write_bytes(b"\x17" * len(kept))
    for leftover in notes.parent.glob("workflows.db-*"):
        leftover.unlink()
    before = user.state()
    refused(
        user.run("run"),
        "the notes of the workflow engine can't be used",
        "workflows.db",
        "move the file away",
    )
    assert user.state().keeps(before, "cycles")
    notes.unlink()
    done = user.run("run")
    assert done.code == 0, done
