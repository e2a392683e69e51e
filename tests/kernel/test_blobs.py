import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from servers import fill
from treadle.kernel import blobs, copying
from treadle.kernel.blobs import open_blobs
from treadle.kernel.errors import CorruptData, NotFound, StorageError, StorageFull
from treadle.kernel.ids import digest_bytes

MISSING = "0" * 64


@pytest.fixture(
    params=[
        "folder",
        pytest.param("s3", marks=pytest.mark.s3),
        pytest.param("azure", marks=pytest.mark.azure),
    ]
)
def store(request, tmp_path):
    """Every test that asks for it runs on a folder, on an S3 server and, if there is one, on Azurite."""
    if request.param == "folder":
        return open_blobs("blobs", tmp_path, {})
    if request.param == "azure":
        azure = request.getfixturevalue("azure")
        return open_blobs(f"az://{azure.container}/deep/prefix", tmp_path, azure.options)
    s3 = request.getfixturevalue("s3")
    return open_blobs(f"s3://{s3.bucket}/deep/prefix", tmp_path, s3.options)


def keys(store):
    import obstore

    return {item["path"] for item in obstore.list(store._store).collect()}


def spoil(store, digest, data):
    import obstore

    obstore.put(store._store, store._key(digest), data)


@pytest.mark.parametrize("size", [0, 1, 1000, 12_000_000])
def test_bytes_come_back_by_their_digest(store, tmp_path, size):
    data = os.urandom(size)
    assert store.put(data) == digest_bytes(data)
    assert store.get(digest_bytes(data)) == data
    assert store.has(digest_bytes(data))
    store.fetch(digest_bytes(data), tmp_path / "new" / "file")
    assert (tmp_path / "new" / "file").read_bytes() == data


@pytest.mark.parametrize("size", [0, 1000, 12_000_000])
def test_a_file_is_kept_as_its_bytes(store, tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    digest = store.put_file(path)
    assert digest == digest_bytes(path.read_bytes())
    assert store.get(digest) == path.read_bytes()


def test_the_same_bytes_are_kept_once(store, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"same")
    assert store.put(b"same") == store.put_file(path) == store.put(b"same")
    assert len(keys(store)) == 1


def test_what_is_not_kept(store, tmp_path):
    assert not store.has(MISSING)
    with pytest.raises(NotFound, match="blob 000000000000 is not in the store"):
        store.get(MISSING)
    with pytest.raises(NotFound, match="blob 000000000000 is not in the store"):
        store.fetch(MISSING, tmp_path / "file")
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("damage", [b"", b"other", b"the righ"])
def test_what_is_kept_is_checked_on_every_read(store, tmp_path, damage):
    digest = store.put(b"the right")
    spoil(store, digest, damage)
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(CorruptData, match="is not what was stored"):
        store.get(digest)
    with pytest.raises(CorruptData, match="is not what was stored"):
        store.fetch(digest, path)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("size", [1000, 12_000_000])
def test_a_file_that_changes_while_it_is_read_is_refused(store, tmp_path, monkeypatch, size):
    """After its digest was taken and before its bytes are sent; nothing is kept under either digest."""
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    real = blobs.digest_file

    def then_written(path: Path) -> str:
        found = real(path)
        path.write_bytes(b"x" + bytes(size - 1))
        return found

    def copied_then_written(*args: int) -> int:
        count = real_copy(*args)
        path.write_bytes(b"x" + bytes(size - 1))
        return count

    real_copy = copying.copy_bytes
    monkeypatch.setattr(blobs, "digest_file", then_written)
    monkeypatch.setattr(copying, "copy_bytes", copied_then_written)
    with pytest.raises(CorruptData, match="changed while it was read") as error:
        store.put_file(path)
    assert error.value.where == str(path)
    assert keys(store) == set()


def test_a_file_that_changes_spoils_no_blob_that_was_there(store, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"good")
    digest = store.put_file(path)
    real = blobs.digest_file

    def then_written(path: Path) -> str:
        found = real(path)
        path.write_bytes(b"other")
        return found

    monkeypatch.setattr(blobs, "digest_file", then_written)
    store.put_file(path)
    assert store.get(digest) == b"good"


def test_a_file_that_is_not_there(store, tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        store.put_file(tmp_path / "nothing")


def test_the_same_bytes_from_many_threads(store):
    data, found = os.urandom(6_000_000), []
    threads = [threading.Thread(target=lambda: found.append(store.put(data))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [digest_bytes(data)] * 4
    assert store.get(found[0]) == data


def test_a_killed_writer_leaves_no_blob(tmp_path):
    script = (
        "import os, signal, sys; from pathlib import Path; from treadle.kernel import blobs, copying\n"
        "store = blobs.open_blobs('blobs', Path(sys.argv[1]), {})\n"
        "real = copying.copy_bytes\n"
        "def dies(source, target, offset, count):\n"
        "    real(source, target, offset, count)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "copying.copy_bytes = dies\n"
        "store.put_file(Path(sys.argv[1]) / 'file')"
    )
    data = os.urandom(30_000_000)
    (tmp_path / "file").write_bytes(data)
    assert subprocess.run([sys.executable, "-c", script, tmp_path], check=False).returncode == -9
    store = open_blobs("blobs", tmp_path, {})
    assert not store.has(digest_bytes(data))
    assert store.get(store.put(data)) == data


def test_a_full_disk(full_disk, tmp_path):
    store = open_blobs(str(full_disk / "blobs"), tmp_path, {})
    kept = store.put(b"kept")
    filler = fill(full_disk, leave=50_000)
    path = tmp_path / "file"
    for size in (200_000, 8_000_000):
        path.write_bytes(os.urandom(size))
        for put in (lambda: store.put_file(path), lambda: store.put(path.read_bytes())):
            with pytest.raises(StorageFull) as error:
                put()
            assert error.value.where.endswith("blobs")
            assert [p for p in full_disk.rglob("*") if p.is_file() and p.stat().st_size > 100] == [filler]
    assert store.get(kept) == b"kept"
    filler.unlink()
    path.write_bytes(os.urandom(500_000))
    assert store.get(store.put_file(path)) == path.read_bytes()


def test_fetching_to_a_full_disk(full_disk, tmp_path):
    store = open_blobs("blobs", tmp_path, {})
    digest = store.put(os.urandom(200_000))
    filler = fill(full_disk, leave=50_000)
    with pytest.raises(StorageFull):
        store.fetch(digest, full_disk / "file")
    assert list(full_disk.iterdir()) == [filler]


def test_a_server_that_does_not_answer(tmp_path):
    options = {
        "endpoint": "http://127.0.0.1:9",
        "access_key_id": "a",
        "secret_access_key": "b",
        "allow_http": "true",
    }
    store = open_blobs("s3://bucket", tmp_path, options)
    with pytest.raises(StorageError, match="the blob store failed") as error:
        store.has(MISSING)
    assert error.value.where == "s3://bucket"


@pytest.mark.parametrize("more", [{}, {"timeout": "5s"}])
def test_plain_http_is_asked_for(tmp_path, monkeypatch, more):
    monkeypatch.delenv("AWS_ALLOW_HTTP", raising=False)
    options = {"endpoint": "http://127.0.0.1:9", "access_key_id": "a", "secret_access_key": "b", **more}
    with pytest.raises(StorageError) as error:
        open_blobs("s3://bucket", tmp_path, options, retries=0).has(MISSING)
    assert "allow_http" in str(error.value.fix)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with pytest.raises(StorageError) as error:
        open_blobs("s3://bucket", tmp_path, options, retries=0).has(MISSING)
    assert "see that it answers" in str(error.value.fix)


@pytest.mark.s3
def test_wrong_credentials(s3, tmp_path):
    store = open_blobs(f"s3://{s3.bucket}", tmp_path, {**s3.options, "secret_access_key": "wrong"})
    with pytest.raises(StorageError):
        store.put(b"x")


@pytest.mark.parametrize(
    ("url", "options"), [("nope://bucket", {}), ("s3://bucket", {"nonsense": "1"}), ("file/below", {})]
)
def test_stores_that_cannot_be_opened(tmp_path, url, options):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="can't be opened") as error:
        open_blobs(url, tmp_path, options)
    assert error.value.where == url
