"""What the clients don't ask: every operation accounted for, odd requests, ranges, forms."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import lakefs
import lakefs_sdk
import pytest
import urllib3
from lakefs.client import Client

from mlflow_parts import TrackingServer
from treadle import client as treadle_client
from treadle.api.lakefs.app import ROUTES
from treadle.api.lakefs.form import FormFile, boundary_of
from treadle.api.lakefs.offered import NOT_OFFERED
from treadle.data import DeleteVersions, RestoreVersions
from treadle.kernel.errors import InvalidInput

Ask = Callable[..., urllib3.BaseHTTPResponse]


def operations() -> dict[str, tuple[str, str]]:
    """Every operation of lakeFS's protocol that its SDK knows: method and path by name."""
    found = {}
    for name, api in vars(lakefs_sdk).items():
        if name.endswith("Api") and inspect.isclass(api):
            for one, function in vars(api).items():
                if one.endswith("_with_http_info"):
                    source = inspect.getsource(function)
                    called = re.search(r"call_api\(\s*'([^']+)', '(\w+)'", source)
                    assert called, one
                    found[one.removesuffix("_with_http_info")] = (called[2], called[1])
    return found


@pytest.fixture
def ask(server: TrackingServer) -> Ask:
    pool = urllib3.PoolManager()

    def send(method: str, path: str, **more: Any) -> urllib3.BaseHTTPResponse:
        return pool.request(method, f"{server.url}/api/v1{path}", **more)

    return send


def test_every_operation_is_answered_or_refused_with_what_to_use_instead() -> None:
    known = operations()
    offered = {route.operation: route for route in ROUTES}
    assert (len(known), len(offered), offered.keys() - known.keys()) == (130, 42, set())
    for name, (method, path) in known.items():
        shape = re.sub(r"{[^}]*}", "{}", path)
        if name in offered:
            assert (offered[name].method, re.sub(r"{[^}]*}", "{}", offered[name].path)) == (method, shape)
        else:
            asked = f"{method} {path}"
            assert any(re.fullmatch(pattern, asked) for pattern, _ in NOT_OFFERED), name


def test_what_is_not_offered_is_refused_by_name(ask: Ask) -> None:
    for method, path in (("POST", "/auth/users"), ("DELETE", "/repositories/many"), ("GET", "/nonsense")):
        answer = ask(method, path, body=b"{}")
        assert answer.status == 501
        assert "docs/how-to/lakefs.md" in answer.json()["message"]
    assert "uploaded, read, listed" in ask("GET", "/nonsense").json()["message"]
    assert ask("GET", "/repositories", headers={"Origin": "http://evil.example"}).status == 403


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/repositories", b"{"),
        ("POST", "/repositories", b"[]"),
        ("POST", "/repositories", b'{"name": 3}'),
        ("POST", "/repositories", b'{"name": "../up"}'),
        ("POST", "/repositories", b'{"name": "x", "default_branch": "trunk"}'),
        ("GET", "/repositories/many/refs/main/objects/ls?amount=many", b""),
        ("GET", "/repositories/many/refs/main/objects", b""),
        ("GET", "/repositories/many/refs/ma%5Ein~x/objects/ls", b""),
        ("GET", "/repositories/many/refs/main/diff/main?type=four", b""),
        ("GET", "/repositories/many/refs/main/commits?since=yesterday", b""),
        ("PUT", "/repositories/many/branches/main", b'{"type": "object"}'),
        ("POST", "/repositories/many/branches/main/commits", b'{"message": "x", "date": 99999999999999999}'),
    ],
)
def test_bad_input_is_a_bad_request(ask: Ask, method: str, path: str, body: bytes) -> None:
    answer = ask(method, path, body=body)
    assert answer.status == 400, answer.data
    assert answer.json()["message"]


def test_ranges_and_tags_of_objects_are_those_of_http(ask: Ask, repo: lakefs.Repository) -> None:
    repo.branch("main").object("a b").upload(b"0123456789", content_type="text/plain")
    path = f"/repositories/{repo.id}/refs/main/objects?path=a%20b"
    whole = ask("GET", path)
    assert (whole.status, whole.data, whole.headers["content-type"]) == (200, b"0123456789", "text/plain")
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["last-modified"].endswith("GMT")
    for asked, status, data, told in (
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("lines=1-2", 200, b"0123456789", None),
    ):
        answer = ask("GET", path, headers={"Range": asked})
        assert (answer.status, answer.data, answer.headers.get("content-range")) == (status, data, told)
    beyond = ask("GET", path, headers={"Range": "bytes=10-"})
    assert (beyond.status, beyond.headers["content-range"]) == (416, "bytes */10")
    assert ask("GET", path, headers={"If-None-Match": whole.headers["etag"]}).status == 304
    head = ask("HEAD", path)
    assert (head.status, head.headers["content-length"], head.data) == (200, "10", b"")
    assert ask("HEAD", path + "c").status == 404


def test_uploads_are_conditional_on_nothing_being_there_only(ask: Ask, repo: lakefs.Repository) -> None:
    path = f"/repositories/{repo.id}/branches/main/objects?path=a"
    assert ask("POST", path, body=b"1", headers={"If-None-Match": "*"}).status == 201
    assert ask("POST", path, body=b"2", headers={"If-None-Match": "*"}).status == 412
    assert ask("POST", path, body=b"2", headers={"If-Match": "x"}).status == 501


def test_a_branch_may_have_a_slash_in_its_name(client: Client, repo: lakefs.Repository) -> None:
    exp = repo.branch("exp/new").create("main")
    exp.object("a").upload(b"1")
    exp.commit("a")
    assert exp.object("a").reader().read() == b"1"
    assert client.sdk_client.branches_api.get_branch(repo.id, "exp/new").commit_id == exp.head.id


def test_the_sdk_uploads_a_form(client: Client, repo: lakefs.Repository) -> None:
    for content in (b"", b"formed", b"\r\n--\r\n" * 1000):
        told = client.sdk_client.objects_api.upload_object(repo.id, "main", "form", content=content)
        assert told.size_bytes == len(content)
        assert repo.branch("main").object("form").reader().read() == content


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
@pytest.mark.parametrize("content", [b"", b"x", b"--b", b"\r\n--", b"\r\n--a\r\n" * 9, bytes(range(256))])
def test_a_form_is_read_in_pieces_of_any_size(size: int, content: bytes) -> None:
    form = (
        b'--bound\r\nContent-Disposition: form-data; name="content"; filename="f"\r\n'
        b"Content-Type: text/csv\r\n\r\n" + content + b"\r\n--bound--\r\n"
    )
    taken: list[bytes] = []
    reader = FormFile(taken.append, boundary_of('multipart/form-data; boundary="bound"'))
    for begin in range(0, len(form), size):
        reader.write(form[begin : begin + size])
    reader.finish()
    assert (b"".join(taken), reader.content_type) == (content, "text/csv")


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"plain bytes\r\n\r\nthat are none",
        b'--bound\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--bound--\r\n',
        b'--bound\r\nContent-Disposition: form-data; name="content"\r\n\r\nx',
    ],
)
def test_what_is_no_whole_form_is_refused(form: bytes) -> None:
    reader = FormFile(lambda _: None, b"bound")

    def read() -> None:
        reader.write(form)
        reader.finish()

    with pytest.raises(InvalidInput):
        read()


def test_what_was_deleted_stays_in_the_log_and_is_gone(
    server: TrackingServer, ask: Ask, client: Client, repo: lakefs.Repository
) -> None:
    """lakeFS itself answers 410 for objects that its garbage collection took."""
    main = repo.branch("main")
    commits = []
    for text in (b"one", b"two", b"three"):
        main.object("a").upload(text)
        commits.append(main.commit("more").get_commit().id)
    first = repo.ref(commits[0])
    assert first.object("a").reader().read() == b"one"
    over = treadle_client.Client.http(server.url)
    over.delete_data(repo.id, DeleteVersions(versions=(commits[0],), reason="old"))
    assert [one.id for one in main.log()][:3] == commits[::-1]
    assert first.get_commit().id == repo.ref(f"{commits[2]}~2").get_commit().id == commits[0]
    path = f"/repositories/{repo.id}/refs/{commits[0]}"
    for what in ("objects?path=a", "objects/stat?path=a", "objects/ls"):
        answer = ask("GET", f"{path}/{what}")
        assert (answer.status, "was deleted by" in answer.json()["message"]) == (410, True)
    assert ask("GET", f"/repositories/{repo.id}/refs/{commits[0]}/diff/{commits[2]}").status == 410
    body = f'{{"id": "late", "ref": "{commits[0]}"}}'.encode()
    assert ask("POST", f"/repositories/{repo.id}/tags", body=body).status == 410
    assert [one.path for one in repo.ref(commits[1]).diff(main)] == ["a"]
    main.object("a").upload(b"four")
    main.commit("and on")
    over.restore_data(repo.id, RestoreVersions())
    assert first.object("a").reader().read() == b"one"
