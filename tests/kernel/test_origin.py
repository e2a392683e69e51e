"""What Git, the packages and the machine say, asked of the real ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.metadata import distributions
from pathlib import Path

import pytest

from servers import missing
from treadle.kernel.origin import git, machine, packages
from treadle.kernel.origin.git import look


def run_git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, a remote with a password, and a subfolder."""
    root = tmp_path / "repo"
    (root / "sub").mkdir(parents=True)
    run_git(root, "init", "-q", "-b", "trunk")
    (root / "train.py").write_text("print(1)\n")
    (root / "sub" / "a.txt").write_text("a\n")
    (root / ".gitignore").write_text("ignored/\n")
    run_git(root, "add", "-A")
    run_git(root, "commit", "-q", "-m", "first")
    run_git(root, "remote", "add", "origin", "https://me:hunter2@example.com/team/repo.git")
    return root


def test_a_clean_checkout(repository: Path) -> None:
    found = look(repository / "sub")
    assert found.commit == run_git(repository, "rev-parse", "HEAD")
    assert (found.branch, found.dirty, found.patch, found.folder) == ("trunk", False, None, "sub")
    assert found.repository == "https://example.com/team/repo.git"
    assert found.problems == ()


def test_the_patch_brings_a_clean_clone_to_the_same_files(repository: Path, tmp_path: Path) -> None:
    (repository / "train.py").write_text("print(2)\n")
    (repository / "sub" / "a.txt").unlink()
    (repository / "new ünd odd.bin").write_bytes(bytes(range(256)))
    (repository / "sub" / "staged.py").write_text("x = 1\n")
    run_git(repository, "add", "sub/staged.py")
    (repository / "ignored").mkdir()
    (repository / "ignored" / "big").write_text("no")
    (repository / ".treadle").mkdir()
    (repository / ".treadle" / "x.db").write_text("no")
    before = run_git(repository, "status", "--porcelain=v2")
    found = look(repository / "sub")
    assert run_git(repository, "status", "--porcelain=v2") == before, "the index was touched"
    assert found.dirty is True
    assert found.patch is not None
    clone = tmp_path / "clone"
    run_git(tmp_path, "clone", "-q", str(repository), str(clone))
    (tmp_path / "p.patch").write_bytes(found.patch)
    run_git(clone, "apply", str(tmp_path / "p.patch"))
    files = {
        path.relative_to(clone).as_posix(): path.read_bytes()
        for path in clone.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(clone).parts
    }
    assert files == {
        ".gitignore": b"ignored/\n",
        "train.py": b"print(2)\n",
        "new ünd odd.bin": bytes(range(256)),
        "sub/staged.py": b"x = 1\n",
    }


def test_a_change_of_the_same_size_in_the_same_second_is_seen(repository: Path) -> None:
    for value in range(2, 6):
        (repository / "train.py").write_text(f"print({value})\n")
        found = look(repository)
        assert found.patch is not None
        assert f"+print({value})".encode() in found.patch
        run_git(repository, "commit", "-q", "-am", f"value {value}")


def test_what_is_left_out_is_said(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "MOST_FILE", 100)
    (repository / "large.csv").write_text("x" * 101)
    (repository / "small.csv").write_text("x" * 99)
    (repository / ".env.local").write_text("PASSWORD=hunter2")
    (repository / "server.pem").write_text("hunter2")
    found = look(repository)
    assert found.dirty is False
    assert found.patch is not None
    assert b"small.csv" in found.patch
    assert b"large.csv" not in found.patch
    assert b"hunter2" not in found.patch
    assert found.problems == (
        "1 new file was left out of the changes (limits: 100 B a file, 10.0 MiB and 1,000 files in all)",
        "2 new files were left out of the changes for what secrets may be in them",
    )


def test_changes_beyond_the_limit_are_not_kept(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "MOST_PATCH", 1000)
    (repository / "train.py").write_text("x = 1\n" * 1000)
    found = look(repository)
    assert (found.dirty, found.patch) == (True, None)
    assert found.problems == ("changes were not kept: more than 1000 B",)


def test_before_the_first_commit_and_outside_a_repository(tmp_path: Path) -> None:
    assert look(tmp_path).commit is None
    assert look(tmp_path).problems == ()
    run_git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("a\n")
    found = look(tmp_path)
    assert (found.commit, found.dirty) == (None, False)
    assert found.patch is not None
    assert b"+a" in found.patch


@pytest.mark.parametrize(("does", "said"), [("sleep 30", "longer than"), ("exit 1", "ended with 1")])
def test_a_git_that_hangs_or_fails_is_a_reason(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, said: str
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\nexec {does}\n" if "sleep" in does else f"#!/bin/sh\n{does}\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    before = time.monotonic()
    found = look(repository, seconds=0.5)
    assert time.monotonic() - before < 5
    assert found.commit is None
    assert said in found.problems[0]


def test_names_and_versions_are_those_of_the_metadata() -> None:
    installed = list(distributions())
    assert len(installed) > 5
    assert [packages.name_and_version(one) for one in installed] == [(d.name, d.version) for d in installed]


def test_the_lock_is_what_pip_says(tmp_path: Path) -> None:
    lines = packages.lock().splitlines()
    names = [line.partition("==")[0].partition(" @ ")[0] for line in lines]
    assert names == sorted(set(names))
    versions = dict(line.split("==") for line in lines if "==" in line)
    import msgspec

    assert versions["msgspec"] == msgspec.__version__
    for info, direct in {
        "Vcs_Pkg-1.0.dist-info": '{"url": "https://u:pw@example.com/x.git",'
        ' "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
        "local-2.0.dist-info": '{"url": "file:///src/local", "dir_info": {"editable": true}}',
        "broken-1.0.dist-info": "{",
    }.items():
        (tmp_path / info).mkdir()
        name, _, version = info.removesuffix(".dist-info").partition("-")
        (tmp_path / info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        (tmp_path / info / "direct_url.json").write_text(direct)
    code = "from treadle.kernel.origin import packages; print(packages.lock())"
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "vcs-pkg @ git+https://example.com/x.git@abc" in done.stdout
    assert "local @ file:///src/local  # editable" in done.stdout
    assert "broken" not in done.stdout
    assert packages.digest("a\n") != packages.digest("b\n")


def test_the_machine() -> None:
    found = machine.hardware()
    assert found.cpu
    assert found.cores == len(os.sched_getaffinity(0))
    assert 1 << 28 < found.memory <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine.python().startswith("CPython 3.")


FAKE_NVML = r"""
#include <string.h>
typedef struct {unsigned long long total, free, used;} mem;
typedef struct {unsigned gpu, memory;} rates;
int nvmlInit_v2(void){return 0;} int nvmlShutdown(void){return 0;}
int nvmlDeviceGetCount_v2(unsigned*n){*n=2;return 0;}
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void**d){*d=(void*)(long)(i+1);return 0;}
int nvmlSystemGetDriverVersion(char*s,unsigned n){strncpy(s,"550.54",n);return 0;}
int nvmlDeviceGetName(void*d,char*s,unsigned n){strncpy(s,(long)d==1?"NVIDIA H100":"NVIDIA L4",n);return 0;}
int nvmlDeviceGetMemoryInfo(void*d,mem*m){m->total=1000;m->used=250;m->free=750;return 0;}
int nvmlDeviceGetUtilizationRates(void*d,rates*r){r->gpu=40+(long)d;r->memory=3;return 0;}
int nvmlDeviceGetTemperature(void*d,int k,unsigned*t){*t=66;return 0;}
int nvmlDeviceGetPowerUsage(void*d,unsigned*p){*p=350500;return (long)d==1?0:3;}
"""


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    """A library with NVML's interface, where there is no GPU to ask: two, one of which hides its power."""
    source = tmp_path / "nvml.c"
    source.write_text(FAKE_NVML)
    try:
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", str(tmp_path / "libnvidia-ml.so.1"), str(source)], check=True
        )
    except OSError:
        missing("there is no C compiler: install gcc or clang, as `cc`")
    return tmp_path


def test_gpus_are_asked_through_the_driver_s_library(driver: Path) -> None:
    code = (
        "from treadle.kernel.origin import machine, nvml\n"
        "print(machine.hardware().gpus)\n"
        "with nvml.opened() as library: print(library.loads())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "LD_LIBRARY_PATH": str(driver)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    gpus, loads = done.stdout.splitlines()
    assert "Gpu(name='NVIDIA H100', memory=1000, driver='550.54')" in gpus
    assert "name='NVIDIA L4'" in gpus
    assert "Load(used=41.0, memory=25.0, celsius=66.0, watts=350.5)" in loads
    assert "Load(used=42.0, memory=25.0, celsius=66.0, watts=None)" in loads
