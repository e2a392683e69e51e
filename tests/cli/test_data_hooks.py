"""Git's hooks: the data goes with the code."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cli_parts import Call


def git(folder: Path, *arguments: str, code: int = 0) -> str:
    """Runs Git as somebody; its environment has no other configuration."""
    who = {f"GIT_{role}_{part}": "ada" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env={**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def repository(call: Call, here: Path) -> Path:
    """A repository with a project in a folder of it, two commits, and a version of data for each."""
    git(here.parent, "init", "-q", "-b", "main", here.name)
    project = here / "the project"
    project.mkdir()
    (project / ".gitignore").write_text(".treadle/\n")
    (project / "treadle.toml").write_text('[project]\nname = "toy"\n')
    os.chdir(project)  # the fixture `here` goes back
    for text in ("one", "two"):
        (project / "pets").mkdir(exist_ok=True)
        (project / "pets" / "a.txt").write_text(text)
        os.utime(project / "pets" / "a.txt", (len(text), 2 if text == "two" else 1))
        assert call("data", "add", "pets").code == 0
        git(here, "add", "-A")
        git(here, "commit", "-q", "-m", text)
    return project


def test_data_comes_and_goes_with_code(call: Call, repository: Path, tmp_path: Path) -> None:
    made = call("data", "install-hooks")
    assert "post-checkout and pre-push are in" in made.out
    assert call("data", "install-hooks").code == 0  # once more is no harm
    git(repository, "checkout", "-q", "-b", "old", "HEAD~1")
    assert (repository / "pets" / "a.txt").read_text() == "one"
    (repository / "pets" / "a.txt").write_text("mine, in no version")
    assert "would be lost" in git(repository, "checkout", "-q", "main", code=1)
    assert (repository / "pets" / "a.txt").read_text() == "mine, in no version"

    git(tmp_path, "init", "-q", "--bare", "code")
    git(repository, "remote", "add", "origin", str(tmp_path / "code"))
    git(repository, "push", "-q", "origin", "old")  # the project has no remote for data: nothing to do
    with (repository / "treadle.toml").open("a") as file:
        file.write('[remotes.origin]\nurl = "../../data"\n')
    git(repository, "push", "-q", "origin", "main")
    assert "origin has everything of pets@main already" in call("data", "push").out
    (tmp_path / "data").rename(tmp_path / "gone")
    (tmp_path / "data").write_text("no folder")
    git(repository, "branch", "other")
    refused = git(repository, "push", "-q", "origin", "other", code=1)
    assert "failed to push" in refused
    git(repository, "push", "-q", "--no-verify", "origin", "other")
    assert "are removed" in call("data", "install-hooks", "--remove").out
    git(repository, "push", "-q", "origin", "other:more")


def test_foreign_hooks_stay(call: Call, repository: Path) -> None:
    hooks = repository.parent / ".git" / "hooks"
    (hooks / "pre-push").write_text("#!/bin/sh\nmake test\n")
    refused = call("data", "install-hooks")
    assert refused.code == 2
    assert "add `treadle data push` to pre-push yourself" in refused.err
    assert (hooks / "pre-push").read_text() == "#!/bin/sh\nmake test\n"
    assert not (hooks / "post-checkout").exists()
    assert "no hooks of Treadle's" in call("data", "install-hooks", "--remove").out
    assert (hooks / "pre-push").exists()


def test_without_a_repository(call: Call, here: Path) -> None:
    (here / "treadle.toml").write_text('[project]\nname = "toy"\n')
    assert "in no Git repository" in call("data", "install-hooks").err
