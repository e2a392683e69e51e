"""A repository whose objects lie in a bucket, where DVC itself put them, or as it would have."""

from __future__ import annotations

import shutil
from pathlib import Path

import obstore
import pytest
from obstore.store import ObjectStore

from dvc_repositories import dvc, git, with_s3
from interop.dvc.test_moving import contents, files
from servers import S3
from treadle.client import Client
from treadle.interop.dvc import DvcImporter, Repository
from treadle.kernel.errors import StorageError
from treadle.kernel.object_stores import open_store

pytestmark = pytest.mark.s3

REMOTE = """[core]
    remote = far
['remote "base"']
    url = s3://{bucket}/team
    endpointurl = {endpoint}
    region = us-east-1
['remote "far"']
    url = remote://base/dvc
"""
KEYS = """['remote "base"']
    access_key_id = {id}
    secret_access_key = {secret}
"""


@pytest.fixture
def bucket(s3: S3) -> ObjectStore:
    return open_store(f"s3://{s3.bucket}/team/dvc", s3.options)


@pytest.fixture(params=["by DVC", "as DVC lays them"])
def far(request: pytest.FixtureRequest, repo: Path, s3: S3, bucket: ObjectStore) -> Path:
    """The repository with all of its objects in a bucket, and none in its cache."""
    python = with_s3() if request.param == "by DVC" else ""
    if python is None:
        pytest.skip("no DVC that reaches S3: `pip install dvc-s3`, or TREADLE_DVC_S3 names such a Python")
    (repo / ".dvc" / "config").write_text(REMOTE.format(bucket=s3.bucket, endpoint=s3.endpoint))
    keys = KEYS.format(id=s3.access_key_id, secret=s3.secret_access_key)
    (repo / ".dvc" / "config.local").write_text(keys)
    if python:
        for rev in ("HEAD~1", "HEAD"):
            git(repo, "checkout", "-q", rev, "--", "data/train.dvc")
            dvc(repo, "push", "-q", python=python)
    else:
        cache = repo / ".dvc" / "cache"
        for path in (one for one in (cache / "files").rglob("*") if one.is_file()):
            obstore.put(bucket, path.relative_to(cache).as_posix(), path)
    shutil.rmtree(repo / ".dvc" / "cache")
    return repo


def test_its_history_comes_out_of_the_bucket(far: Path, client: Client) -> None:
    report = DvcImporter(Repository(far, ""), client).run(history=True, only=["data/train", "tool"])
    assert report.troubles == []
    assert contents(client, "data-train") == files(far / "data" / "train")
    assert contents(client, "tool") == {"tool": (far / "tool").read_bytes()}
    assert [one.added for one in report.outputs] == [2, 1]


def test_what_is_gone_or_damaged_there_is_told(far: Path, bucket: ObjectStore, client: Client) -> None:
    md5 = {one.path: one.md5 for one in Repository(far).outputs()}
    obstore.put(bucket, f"files/md5/{md5['tool'][:2]}/{md5['tool'][2:]}", b"something else")
    obstore.delete(bucket, f"files/md5/{md5['copied'][:2]}/{md5['copied'][2:]}")
    report = DvcImporter(Repository(far, ""), client).run()
    told = {one.where: one.reason for one in report.troubles}
    assert len(told) == 2, told
    assert contents(client, "data-train") == files(far / "data" / "train")


def test_wrong_keys_are_told(far: Path, client: Client) -> None:
    (far / ".dvc" / "config.local").write_text(KEYS.format(id="nobody", secret="nothing"))
    with pytest.raises(StorageError, match=r"(?s)403.*keys"):
        b"".join(Repository(far, "").read_path("tool"))
