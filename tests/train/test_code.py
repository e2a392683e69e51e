"""Which files are code, where they came from, and that they come back as they were."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from treadle.kernel.errors import ConfigError
from treadle.kernel.workspace import Workspace
from treadle.train import CodeVersion, rules
from treadle.train.code import materialise, snapshot
from treadle.train.environment import describe


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")


def paths(code: CodeVersion) -> list[str]:
    return [file.path for file in code.files]


def test_code_is_what_the_patterns_name_and_nobody_made(workspace: Workspace):
    write(
        workspace.root,
        "train.py",
        "lib/a.py",
        "conf/x.yaml",
        ".hidden/b.py",
        "lib/__pycache__/a.py",
        ".treadle/jobs/1/code/train.py",
        "env/pyvenv.cfg",
        "env/lib/c.py",
    )
    (workspace.root / "broken.py").symlink_to("nowhere")
    blobs = workspace.blobs
    assert paths(snapshot(workspace.root, ["**/*.py"], blobs)) == ["lib/a.py", "train.py"]
    both = snapshot(workspace.root, ["*.py", "conf/*"], blobs)
    assert paths(both) == ["conf/x.yaml", "train.py"]
    assert blobs.get(both.files[1].digest) == b"# train.py\n"
    with pytest.raises(ConfigError, match="no file fits"):
        snapshot(workspace.root, ["*.rs"], blobs)


def test_code_comes_back_as_it_was(workspace: Workspace, tmp_path: Path):
    write(workspace.root, "train.py", "run.sh")
    (workspace.root / "run.sh").chmod(0o755)
    code = snapshot(workspace.root, ["*.py", "*.sh"], workspace.blobs)
    digest = workspace.blobs.put(rules.code_manifest(code))
    write(workspace.root, "train.py", "new.py")
    (workspace.root / "train.py").write_text("changed")
    target = tmp_path / "code"
    materialise(workspace.blobs, digest, target)
    (target / "train.py").write_text("spoilt")
    materialise(workspace.blobs, digest, target)
    assert sorted(path.name for path in target.iterdir()) == ["run.sh", "train.py"]
    assert (target / "train.py").read_text() == "# train.py\n"
    assert os.access(target / "run.sh", os.X_OK)
    assert not os.access(target / "train.py", os.X_OK)


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_commit_and_whether_the_code_differs_from_it(workspace: Workspace):
    root = workspace.root

    def look() -> tuple[str | None, bool]:
        code = snapshot(root, ["**/*.py"], workspace.blobs)
        return code.commit, code.dirty

    write(root, "train.py", "notes.txt")
    assert look() == (None, False)
    git(root.parent, "init", "-q")
    assert look() == (None, False)
    git(root.parent, "add", "project/train.py")
    git(root.parent, "commit", "-qm", "first")
    commit = git(root, "rev-parse", "HEAD")
    assert look() == (commit, False)
    (root / "notes.txt").write_text("not code")
    assert look() == (commit, False)
    write(root, "sub/new.py")
    assert look() == (commit, True)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "second")
    assert look() == (git(root, "rev-parse", "HEAD"), False)
    (root / "train.py").write_text("changed")
    assert look()[1]


def test_no_git_is_no_commit(workspace: Workspace, monkeypatch):
    write(workspace.root, "train.py")
    monkeypatch.setenv("PATH", "/nowhere")
    assert snapshot(workspace.root, ["*.py"], workspace.blobs).commit is None


def test_the_environment_names_what_is_installed():
    found = describe()
    names = [package.name for package in found.packages]
    assert {"msgspec", "pytest", "treadle"} <= set(names)
    assert names == sorted(names)
    assert found.python.startswith("CPython 3.")
    assert found == describe()
