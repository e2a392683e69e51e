"""Repositories that a real DVC made."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ENV = {
    **os.environ,
    "DVC_NO_ANALYTICS": "1",
    "GIT_AUTHOR_NAME": "Ana",
    "GIT_AUTHOR_EMAIL": "ana@example.com",
    "GIT_COMMITTER_NAME": "Ana",
    "GIT_COMMITTER_EMAIL": "ana@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def dvc(root: Path, *arguments: str, python: str = sys.executable) -> str:
    """What DVC says; its failure is the test's."""
    command = [python, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=root, env=ENV, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def git(root: Path, *arguments: str, date: str = "2024-05-01T10:00:00+02:00") -> str:
    """What Git says."""
    env = {**ENV, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    done = subprocess.run(["git", *arguments], cwd=root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def with_s3() -> str | None:
    """A Python whose DVC reaches S3, if there is one: this one, or that of ``TREADLE_DVC_S3``."""
    if importlib.util.find_spec("dvc_s3"):
        return sys.executable
    return os.environ.get("TREADLE_DVC_S3")


def make_repository(root: Path) -> Path:
    """A folder in two versions, a program, and a stage that copies; all in a cache and in a remote."""
    root.mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    dvc(root, "init", "-q")
    (root / ".dvc" / "config").write_text(
        "[core]\n    remote = near\n['remote \"near\"']\n    url = ../../near\n"
    )
    (root / "data" / "train" / "größe").mkdir(parents=True)
    (root / "data" / "train" / "größe" / "a b.txt").write_text("one\r\ntwo\r\n", newline="")
    (root / "data" / "train" / "empty").touch()
    (root / "data" / "train" / "large.bin").write_bytes(bytes(range(256)) * 6000)
    (root / "tool").write_text("#!/bin/sh\nexit 0\n")
    (root / "tool").chmod(0o755)
    (root / "dvc.yaml").write_text(
        "stages:\n  copy:\n    cmd: cp tool copied && echo {} > scores.json\n    deps: [tool]\n"
        "    outs: [copied]\n    metrics:\n    - scores.json:\n        cache: false\n"
    )
    dvc(root, "add", "-q", "data/train", "tool")
    dvc(root, "repro", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "First data\n\nWith a reason")
    (root / "data" / "train" / "new.txt").write_text("new\n")
    (root / "data" / "train" / "empty").unlink()
    dvc(root, "add", "-q", "data/train")
    git(root, "commit", "-qam", "Second data", date="2024-06-01T10:00:00+02:00")
    dvc(root, "push", "-q")
    return root
