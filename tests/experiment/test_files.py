"""Files of runs: where they may be, what is kept, and what is refused, on each metadata store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from treadle.experiment import Experiments, Files, JournalBatch, LogArtifact, MetricWriter, NewRun, Tracking
from treadle.experiment.files import Entry
from treadle.experiment.layout import check_path, check_root, readings
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.ids import digest_bytes
from treadle.kernel.workspace import Workspace

RUN = "a" * 32
ROOT = f"0/{RUN}/artifacts"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def opened(tmp_path: Path, metadata_url: str) -> Iterator[Workspace]:
    (tmp_path / "treadle.toml").write_text(f'[project]\nname = "t"\n[store]\nmetadata = "{metadata_url}"\n')
    workspace = Workspace.open(tmp_path)
    Experiments(workspace).create(NewRun(id=RUN, name="one", started_at=NOON))
    yield workspace
    workspace.close()


@pytest.fixture
def files(opened: Workspace) -> Files:
    return Files(opened)


def put(files: Files, path: str, *pieces: bytes) -> None:
    with files.upload() as upload:
        for piece in pieces:
            upload.write(piece)
        files.put(files.locate(path, writing=True), upload)


def get(files: Files, path: str) -> bytes:
    return b"".join(files.read(files.find(files.locate(path))))


def left(workspace: Workspace) -> set[str]:
    """What is in the blob store's folder besides blobs."""
    blobs = workspace.state / "blobs"
    return {str(p.relative_to(blobs)) for p in blobs.rglob("*") if p.is_file() and "b3" not in p.parts}


def test_a_file_comes_back(files, opened):
    put(files, f"{ROOT}/model/MLmodel", b"flavors", b": {}")
    assert get(files, f"{ROOT}/model/MLmodel") == b"flavors: {}"
    assert files.find(files.of_run(RUN, "model/MLmodel")).digest == digest_bytes(b"flavors: {}")
    assert [a.path for a in Experiments(opened).artifacts(RUN)] == ["model/MLmodel"]
    assert not left(opened)


def test_a_later_file_replaces_an_earlier_one(files):
    put(files, f"{ROOT}/a", b"first")
    put(files, f"{ROOT}/a", b"second")
    put(files, f"{ROOT}/empty")
    assert get(files, f"{ROOT}/a") == b"second"
    assert get(files, f"{ROOT}/empty") == b""


def test_files_of_a_journal_are_files_too(files, opened):
    digest = opened.blobs.put(b"weights")
    Experiments(opened).apply(RUN, JournalBatch(0, [LogArtifact("w/x.bin", 7, digest)]))
    assert get(files, f"{ROOT}/w/x.bin") == b"weights"


def test_a_part_of_a_file(files):
    data = os.urandom(3_000_000)
    put(files, f"{ROOT}/big", data)
    found = files.find(files.of_run(RUN, "big"))
    for start, end in ((0, 1), (5, 2_500_000), (2_999_999, 3_000_000), (7, None)):
        assert b"".join(files.read(found, start, end)) == data[start:end]


def test_folders_are_listed_one_at_a_time(files):
    for path in ("b/c/d", "b/a", "B/x", "a", "bc"):
        put(files, f"{ROOT}/{path}", b"12")
    root = files.list(files.locate(ROOT))
    assert root == [Entry("B", None), Entry("a", 2), Entry("b", None), Entry("bc", 2)]
    assert files.list(files.of_run(RUN, "b/")) == [Entry("b/a", 2), Entry("b/c", None)]
    assert files.list(files.of_run(RUN, "a")) == files.list(files.of_run(RUN, "nothing")) == []
    with pytest.raises(InvalidInput, match="is a folder"):
        files.find(files.of_run(RUN, "b"))
    with pytest.raises(NotFound, match="no file 'nothing'"):
        files.find(files.of_run(RUN, "nothing"))


def test_deleting_takes_a_file_or_all_in_a_folder(files):
    for path in ("b/c", "B/c", "bc", "b_", "d"):
        put(files, f"{ROOT}/{path}", b"")
    for path in ("b", "d", "d"):
        files.delete(files.of_run(RUN, path))
    assert [e.path for e in files.list(files.of_run(RUN))] == ["B", "b_", "bc"]
    files.delete(files.of_run(RUN))
    assert files.list(files.of_run(RUN)) == []


@pytest.mark.parametrize("other", ["a", "a/b/c"])
def test_a_path_is_a_file_or_a_folder(files, other):
    put(files, f"{ROOT}/a/b", b"")
    with pytest.raises(Conflict, match=r"is a (file|folder)"):
        put(files, f"{ROOT}/{other}", b"x")
    assert files.find(files.of_run(RUN, "a/b")).size == 0


def test_an_upload_that_breaks_off_leaves_nothing(files, opened):
    with pytest.raises(ZeroDivisionError), files.upload() as upload:  # noqa: PT012 - the block is what fails
        upload.write(b"half")
        assert left(opened)
        raise ZeroDivisionError
    assert not left(opened)
    with pytest.raises(Conflict, match="the upload has ended"):
        upload.write(b"more")
    assert not opened.blobs.has(digest_bytes(b"half"))


def test_what_a_killed_process_left_is_swept_away(files, opened):
    (opened.state / "blobs" / "tmp").mkdir()
    old, new = (opened.state / "blobs" / "tmp" / f"{name}.upload" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    put(files, f"{ROOT}/a", b"x")
    assert (old.exists(), new.exists()) == (False, True)


def test_a_file_in_parts(files, opened):
    place = files.locate(f"{ROOT}/big", writing=True)
    token = files.begin(place)
    digests = []
    for piece in (b"one", b"two", b"one"):
        with files.part(place, token) as part:
            part.write(piece)
            digests.append(part.finish())
    with pytest.raises(InvalidInput, match="part 2 was not uploaded"):
        files.complete(place, token, [digests[0], digest_bytes(b"other")])
    with pytest.raises(NotFound, match="no upload"):
        files.complete(files.locate(f"{ROOT}/elsewhere", writing=True), token, digests)
    files.complete(place, token, digests)
    assert get(files, f"{ROOT}/big") == b"onetwoone"
    assert not left(opened)
    with pytest.raises(NotFound, match="no upload"):
        files.part(place, token)


def test_parts_that_nobody_joins_go(files, opened):
    place = files.locate(f"{ROOT}/big", writing=True)
    for token in (files.begin(place), files.begin(place)):
        with files.part(place, token) as part:
            part.write(b"x")
            part.finish()
    files.abort(place, token)
    files.abort(place, "../../b3")
    assert len(left(opened)) == 2
    opened.blobs.drop_stale(datetime.now(UTC) + timedelta(seconds=1))
    assert not left(opened)


def test_a_deleted_run_keeps_its_files_and_takes_no_more(files, opened):
    put(files, f"{ROOT}/a", b"kept")
    with opened.database.write() as connection:
        connection.exec_driver_sql("UPDATE runs SET lifecycle = 'deleted'")
    assert get(files, f"{ROOT}/a") == b"kept"
    with pytest.raises(InvalidInput, match="the run was deleted"):
        files.locate(f"{ROOT}/b", writing=True)
    files.delete(files.of_run(RUN, "a"))
    assert files.list(files.of_run(RUN)) == []


def test_a_run_that_is_deleted_during_an_upload(files, opened):
    place = files.locate(f"{ROOT}/b", writing=True)
    with opened.database.write() as connection:
        connection.exec_driver_sql("UPDATE runs SET lifecycle = 'deleted'")
    with files.upload() as upload, pytest.raises(InvalidInput, match="the run was deleted"):
        files.put(place, upload)
    assert files.list(place) == []


@pytest.mark.parametrize(
    "path",
    [f"1/{RUN}/artifacts/a", f"0/{'b' * 32}/artifacts/a", f"0/models/{RUN}/artifacts/a", f"{ROOT[2:]}"],
)
def test_nobody_has_files_there(files, path):
    with pytest.raises(NotFound, match=r"there is no (run|logged model)"):
        files.locate(path)


@pytest.mark.parametrize("path", ["a.txt", f"0/{RUN}/files/a", "artifacts/a", "etc/passwd"])
def test_a_path_of_no_owner_is_a_loose_file(files, path):
    place = files.locate(path, writing=True)
    assert (place.kind, place.owner, place.path) == ("loose", "", path)
    with files.upload() as upload:
        upload.write(b"loose")
        files.put(place, upload)
    assert b"".join(files.read(files.find(place))) == b"loose"
    assert [entry.path for entry in files.list(files.locate(""))] == [path.split("/")[0]]
    assert files.list(files.of_run(RUN)) == []
    files.delete(place)
    assert files.list(files.locate("")) == []


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "a/../b",
        "/etc/passwd",
        "a//b",
        "./a",
        "a\\b",
        "..\\a",
        "a\0b",
        "a\nb",
        "x" * 1001,
        "a/" * 1001,
        "%2e%2e/a",
        "a/%2E%2e/b",
        "%252e%252e/a",
        "%2fetc",
        "a%00",
        "a%5cb",
    ],
)
def test_no_path_leads_out(path):
    with pytest.raises(InvalidInput, match="can't be the path of an artifact"):
        check_path(path)


@pytest.mark.parametrize("path", ["a", "a b/ü.txt", "100%.csv", "50%25", "...", "a..b", ".hidden"])
def test_plain_paths_stay(path):
    assert check_path(path) == check_path(f"{path}/") == path


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc",
        "/etc",
        "s3:///a",
        "s3://bucket/../a",
        "s3://bucket/%252e%252e/a",
        "s3://key:secret@bucket/a",
        "s3://bucket/a?b=c",
        "http://host/a",
        "mlflow-artifacts://host/a",
        "mlflow-artifacts:",
        "mlflow-artifacts:/",
        "mlflow-artifacts:a",
        "mlflow-artifacts:/a/../b",
        "mlflow-artifacts:/a?b",
        "mlflow-artifacts:/a#b",
        "mlflow-artifacts:/%2e%2e",
        "mlflow-artifacts://[",
        "",
    ],
)
def test_no_experiment_keeps_its_files_where_they_can_not_be(uri):
    with pytest.raises(InvalidInput, match="can't be"):
        check_root(uri)


def test_the_files_of_an_experiment_in_another_store_are_not_looked_for(opened, files):
    writer = MetricWriter(opened.database)
    tracking = Tracking(opened, writer)
    home = tracking.create_experiment("far", artifacts="s3://bucket/far/")
    assert home.artifacts == "s3://bucket/far"
    assert (
        check_root("abfss://c@account.dfs.core.windows.net/a") == "abfss://c@account.dfs.core.windows.net/a"
    )
    run = tracking.create_run(home.id).result(10).run.id
    with pytest.raises(InvalidInput, match="ask the store that has them: s3://bucket/far"):
        files.of_run(run)
    with pytest.raises(NotFound, match="there is no run"):
        files.locate(f"far/{run}/artifacts/a", writing=True)
    writer.close()


def test_an_experiment_may_have_a_root_of_its_own():
    assert check_root("mlflow-artifacts:/team/alpha/") == "mlflow-artifacts:/team/alpha"
    assert check_root("mlflow-artifacts:///team") == "mlflow-artifacts:/team"
    found = list(readings("team/artifacts/run/artifacts/a/artifacts/b"))
    assert [(p.root.partition(":/")[2], p.owner, p.path) for p in found] == [
        ("", "team", "run/artifacts/a/artifacts/b"),
        ("team/artifacts", "run", "a/artifacts/b"),
        ("team/artifacts/run/artifacts", "a", "b"),
    ]
