"""From a repository that DVC made into Treadle, and back."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dvc_repositories import dvc, git
from treadle.client import Client
from treadle.data.tree.types import Mode
from treadle.interop.dvc import DvcImporter, Repository, export_dvc
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, NotFound


def files(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def contents(client: Client, ref: str) -> dict[str, bytes]:
    """Every file of a version."""
    return {entry.path: b"".join(pieces) for entry, pieces in client.data_archive(ref)}


def test_a_repository_is_read_at_any_revision(repo: Path) -> None:
    repository = Repository(repo)
    assert [one.path for one in repository.outputs()] == ["copied", "data/train", "tool"]
    before, after = repository.outputs("HEAD~1"), repository.outputs("HEAD")
    assert after == repository.outputs()
    assert before[1].object != after[1].object
    read = b"".join(repository.read_path("data/train/größe/a b.txt", "HEAD~1"))
    assert read == (repo / "data" / "train" / "größe" / "a b.txt").read_bytes()
    with pytest.raises(NotFound, match="tracks no file"):
        repository.read_path("data/train/nothing")


def test_history_becomes_versions_once(repo: Path, client: Client) -> None:
    report = DvcImporter(Repository(repo), client).run(history=True)
    assert not report.troubles
    assert {one.dataset: one.added for one in report.outputs} == {"copied": 1, "data-train": 2, "tool": 1}
    second, first = client.data_log("data-train")
    assert (first.message, first.actor) == ("First data\n\nWith a reason", "Ana <ana@example.com>")
    assert first.created_at == datetime(2024, 5, 1, 8, tzinfo=UTC)
    assert first.origin[1].id == git(repo, "rev-parse", "HEAD~1").strip()
    assert second.parents == (first.commit_id,)
    assert contents(client, "data-train@v2") == files(repo / "data" / "train")
    assert "empty" in contents(client, "data-train@v1")
    told = {source.kind: source for source in client.data_log("copied")[0].origin}
    assert told["dvc-stage"].detail == "cp tool copied && echo {} > scores.json"
    assert told["dvc-dep"].id == "tool"
    (program,) = (entry for entry, _ in client.data_archive("tool"))
    assert program.mode is Mode.EXECUTABLE

    again = DvcImporter(Repository(repo), client).run(history=True)
    assert [(one.added, one.before) for one in again.outputs] == [(0, 1), (0, 2), (0, 1)]
    plain = DvcImporter(Repository(repo), client).run()
    assert all(one.added == 0 for one in plain.outputs)


def test_history_does_not_come_after_what_is_newer(repo: Path, client: Client) -> None:
    DvcImporter(Repository(repo), client).run(only=["data/train"])
    with pytest.raises(Conflict, match="older"):
        DvcImporter(Repository(repo), client).run(history=True)
    report = DvcImporter(Repository(repo), client, prefix="all-").run(history=True, only=["data/train"])
    assert report.outputs[0].ref == "all-data-train@v2"


def test_what_is_missing_comes_from_the_remote_or_is_told(repo: Path, client: Client) -> None:
    shutil.rmtree(repo / ".dvc" / "cache")
    report = DvcImporter(Repository(repo), client).run(only=["tool"])
    assert report.outputs[0].ref == ""
    assert "dvc pull" in report.troubles[0].reason
    report = DvcImporter(Repository(repo, "near"), client).run(only=["tool"])
    assert (report.outputs[0].ref, report.troubles) == ("tool@v1", [])
    with pytest.raises(NotFound, match="near"):
        Repository(repo, "far")


def test_a_bad_pointer_refuses_all(repo: Path, client: Client) -> None:
    text = (repo / "tool.dvc").read_text()
    (repo / "tool.dvc").write_text(text.replace("path: tool", "path: ../../tool"))
    with pytest.raises(InvalidInput, match=r"outside") as caught:
        DvcImporter(Repository(repo), client).run()
    assert caught.value.where == "tool.dvc: outs[0].path"
    assert client.datasets() == []


def test_a_damaged_object_is_never_taken_in(repo: Path, client: Client) -> None:
    (output,) = (one for one in Repository(repo).outputs() if one.path == "tool")
    place = repo / ".dvc" / "cache" / "files" / "md5" / output.md5[:2] / output.md5[2:]
    place.chmod(0o644)
    place.write_bytes(place.read_bytes()[:-1] + b"!")
    with pytest.raises(CorruptData):
        b"".join(Repository(repo).read_path("tool"))
    report = DvcImporter(Repository(repo), client).run(only=["tool"])
    assert "is not what DVC stored" in report.troubles[0].reason
    assert client.datasets() == []


def test_a_pointer_that_counts_otherwise_is_told(repo: Path, client: Client) -> None:
    text = (repo / "data" / "train.dvc").read_text()
    (repo / "data" / "train.dvc").write_text(text.replace("nfiles: 3", "nfiles: 4"))
    report = DvcImporter(Repository(repo), client).run(only=["data/train"])
    assert report.troubles[0].where.endswith("data/train.dvc: outs[0].nfiles")


def test_text_of_dvc_2_is_known_by_its_unix_form(tmp_path: Path, client: Client) -> None:
    data = b"one\r\ntwo\r\n"
    md5 = hashlib.md5(data.replace(b"\r\n", b"\n"), usedforsecurity=False).hexdigest()
    place = tmp_path / "old" / ".dvc" / "cache" / md5[:2] / md5[2:]
    place.parent.mkdir(parents=True)
    place.write_bytes(data)
    (tmp_path / "old" / "t.csv.dvc").write_text(f"outs:\n- md5: {md5}\n  size: 10\n  path: t.csv\n")
    report = DvcImporter(Repository(tmp_path / "old"), client).run()
    assert not report.troubles
    assert contents(client, "t.csv") == {"t.csv": data}
    version = client.data_log("t.csv")[0]
    assert version.origin[0].id == "t.csv@uncommitted"


def test_what_was_taken_in_goes_back_and_dvc_agrees(repo: Path, client: Client, tmp_path: Path) -> None:
    DvcImporter(Repository(repo), client).run()
    back = tmp_path / "back"
    back.mkdir()
    git(back, "init", "-q")
    for ref in ("data-train", "tool"):
        made = export_dvc(client, ref, back)
        assert (back / made.pointer).read_bytes() == (repo / made.pointer).read_bytes()
    assert (back / "data" / ".gitignore").read_text() == "/train\n"
    dvc(back, "checkout", "-q")
    assert files(back / "data" / "train") == files(repo / "data" / "train")
    assert (back / "tool").stat().st_mode & 0o100
    assert "up to date" in dvc(back, "status")
    assert export_dvc(client, "tool", back).written == 0


def test_a_new_version_replaces_the_pointer_and_is_pushed(repo: Path, client: Client, tmp_path: Path) -> None:
    DvcImporter(Repository(repo), client).run(history=True)
    made = export_dvc(client, "data-train@v1", repo)
    assert made.path == "data/train"
    assert git(repo, "diff", "HEAD~1", "--", "data/train.dvc") == ""
    dvc(repo, "checkout", "-q", "data/train.dvc")
    assert (repo / "data" / "train" / "empty").exists()
    made = export_dvc(client, "tool", tmp_path / "new", "bin/größe x")
    (tmp_path / "new" / ".dvc" / "config").write_text(
        "[core]\n    no_scm = True\n    remote = r\n['remote \"r\"']\n    url = ../../r\n"
    )
    dvc(tmp_path / "new", "push", "-q")
    shutil.rmtree(tmp_path / "new" / ".dvc" / "cache")
    dvc(tmp_path / "new", "pull", "-q")
    assert (tmp_path / "new" / "bin" / "größe x").read_bytes() == (repo / "tool").read_bytes()


def test_nothing_is_written_over_what_else_dvc_tracks(repo: Path, client: Client) -> None:
    DvcImporter(Repository(repo), client).run(only=["tool"])
    for to in ("copied", "data/train/inner", "data"):
        with pytest.raises(Conflict):
            export_dvc(client, "tool", repo, to)
    for to in ("../out", "/etc/x", ".git/x", "a\nb"):
        with pytest.raises(InvalidInput):
            export_dvc(client, "tool", repo, to)
    assert git(repo, "status", "--short") == ""
