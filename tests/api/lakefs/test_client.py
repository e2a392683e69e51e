"""The unmodified ``lakefs`` client against a real server."""

from __future__ import annotations

import hashlib
import io
import threading

import lakefs
import lakefs_sdk
import pytest
from lakefs.client import Client
from lakefs.exceptions import (
    BadRequestException,
    ConflictException,
    ForbiddenException,
    NotFoundException,
    ObjectExistsException,
    ObjectNotFoundException,
    ServerException,
    TransactionException,
)

from mlflow_parts import TrackingServer
from treadle.client import Client as TreadleClient
from treadle.kernel.errors import NotFound


def paths(ref: lakefs.Reference, **asked: str) -> list[str]:
    return [one.path for one in ref.objects(**asked)]


def changes(found: object) -> list[tuple[str, str]]:
    return [(one.type, one.path) for one in found]  # type: ignore[attr-defined]


def test_a_session_from_an_empty_repository_to_a_merged_branch(
    server: TrackingServer, client: Client, repo: lakefs.Repository
) -> None:
    assert [one.id for one in lakefs.repositories(client=client, prefix=repo.id)] == [repo.id]
    assert (repo.properties.default_branch, repo.metadata) == ("main", {})
    main = repo.branch("main")
    main.object("rows/a.csv").upload("x\n1\n", content_type="text/csv", metadata={"Source": "sensor 3"})
    main.object("notes").upload(b"draft")
    assert changes(main.uncommitted()) == [("added", "notes"), ("added", "rows/a.csv")]
    assert paths(repo.ref("main@")) == []
    first = main.commit("First rows", metadata={"ticket": "7"})
    told = first.get_commit()
    assert (told.message, told.committer, told.metadata) == ("First rows", "ada", {"ticket": "7"})
    assert list(main.uncommitted()) == []

    found = main.object("rows/a.csv").stat()
    assert (found.size_bytes, found.content_type, found.metadata) == (4, "text/csv", {"source": "sensor 3"})
    assert found.checksum == hashlib.md5(b"x\n1\n", usedforsecurity=False).hexdigest()

    exp = repo.branch("exp").create("main")
    exp.object("rows/b.csv").upload("x\n2\n")
    exp.object("notes").delete()
    exp.commit("More rows, no notes")
    assert changes(main.diff(exp)) == [("removed", "notes"), ("added", "rows/b.csv")]
    assert changes(main.diff(exp, delimiter="/")) == [("removed", "notes"), ("prefix_changed", "rows/")]
    assert changes(main.diff(exp, prefix="rows/")) == [("added", "rows/b.csv")]
    assert changes(exp.diff(main)) == []
    assert changes(exp.diff(main, type="two_dot")) == [("added", "notes"), ("removed", "rows/b.csv")]
    merged = exp.merge_into(main, message="Take the rows", metadata={"by": "hand"})
    assert main.head.id == merged == main.get_commit().id
    assert len(main.get_commit().parents) == 2
    assert main.get_commit().metadata == {"by": "hand"}
    assert paths(main) == ["rows/a.csv", "rows/b.csv"]

    tag = repo.tag("v1.0").create(main)
    assert ([one.id for one in repo.tags()], tag.get_commit().id) == (["v1.0"], merged)
    messages = [one.message for one in main.log()]
    assert messages == ["Take the rows", "More rows, no notes", "First rows", "Repository created"]
    assert [one.message for one in main.log(first_parent=True)] == [messages[0], *messages[2:]]
    assert [one.message for one in main.log(max_amount=2, amount=1)] == messages[:2]
    assert [one.message for one in main.log(objects=["rows/a.csv"])] == ["First rows"]
    assert [one.message for one in main.log(prefixes=["rows/b"])] == messages[:2]
    assert [one.message for one in main.log(stop_at=first.id)] == messages[:3]
    assert repo.ref("main~1").get_commit().id == first.id
    assert repo.ref("main^2").get_commit().message == "More rows, no notes"

    main.revert("main", parent_number=1)
    assert paths(main) == ["notes", "rows/a.csv"]
    tag.delete()
    exp.delete()
    assert [one.id for one in repo.branches()] == ["main"]
    with TreadleClient.http(server.url) as treadle:
        assert treadle.data_version(repo.id).commit_id == main.head.id


def test_objects_are_read_by_pieces_and_copied_between_branches(repo: lakefs.Repository) -> None:
    main = repo.branch("main")
    content = bytes(range(256)) * 8192  # 2 MiB: a blob of its own
    main.object("large").upload(content)
    main.object("empty").upload(b"")
    with main.object("large").reader() as file:
        assert file.read(3) == b"\0\1\2"
        file.seek(-2, io.SEEK_END)
        assert (file.read(), file.read(1)) == (b"\xfe\xff", b"")
        file.seek(256 * 8192 + 5)
        assert file.read() == b""
    assert main.object("empty").reader().read() == b""
    main.commit("large")
    assert repo.commit(main.head.id).object("large").reader().read() == content

    exp = repo.branch("exp").create("main")
    exp.object("small").upload("few\nlines\n", metadata={"k": "v"})
    exp.commit("small")
    exp.object("small").copy("main", "copied")
    assert main.object("copied").stat().metadata == {"k": "v"}
    main.commit("copied")
    assert list(main.object("copied").reader("r")) == ["few\n", "lines\n"]
    assert not main.object("small").exists()
    picked = main.cherry_pick("exp")
    assert (picked.message, main.object("small").exists()) == ("small", True)

    main.delete_objects(["small", "copied", "not there"])
    main.object("large").delete()
    main.reset_changes("object", "large")
    assert changes(main.uncommitted()) == [("removed", "copied"), ("removed", "small")]
    main.reset_changes()
    assert list(main.uncommitted()) == []


def test_what_is_uncommitted_is_seen_through_its_branch_only(
    server: TrackingServer, repo: lakefs.Repository
) -> None:
    main = repo.branch("main")
    main.object("a").upload(b"1")
    exp = repo.branch("exp").create("main")
    assert (paths(main), paths(exp)) == (["a"], [])
    main.commit("a")
    main.object("b").upload(b"2")
    with TreadleClient.http(server.url) as treadle:
        assert treadle.data_version(repo.id).count == 1
        with pytest.raises(NotFound):
            treadle.data_version(f"{repo.id}@b")


def test_transactions_are_all_or_nothing(repo: lakefs.Repository) -> None:
    main = repo.branch("main")
    with main.transact(commit_message="two objects", tag="done") as tx:
        tx.object("a").upload(b"1")
        tx.object("b").upload(b"2")
        assert paths(main) == []
    assert (paths(main), paths(repo.tag("done"))) == (["a", "b"], ["a", "b"])

    def write(problem: Exception | None) -> None:
        with main.transact() as tx:
            tx.object("a").upload(b"mine")
            if problem:
                raise problem
            main.object("a").upload(b"theirs")
            main.commit("meanwhile")

    with pytest.raises(ZeroDivisionError):
        write(ZeroDivisionError())
    with pytest.raises(TransactionException):
        write(None)
    assert main.object("a").reader().read() == b"theirs"
    assert [one.id for one in repo.branches()] == ["main"]


def test_conflicts_are_told_and_decided_by_a_strategy(repo: lakefs.Repository) -> None:
    main = repo.branch("main")
    main.object("a").upload(b"base")
    main.commit("base")
    exp = repo.branch("exp").create("main")
    for branch in (main, exp):
        branch.object("a").upload(branch.id)
        branch.commit(branch.id)
    assert changes(main.diff(exp)) == [("conflict", "a")]
    with pytest.raises(ConflictException, match="changed on both sides"):
        exp.merge_into(main)
    assert main.object("a").reader("r").read() == "main"
    exp.merge_into(main, strategy="source-wins")
    assert main.object("a").reader("r").read() == "exp"
    with pytest.raises(BadRequestException, match="no changes"):
        exp.merge_into(main)
    with pytest.raises(BadRequestException, match="strategy"):
        exp.merge_into(main, strategy="mine")


def test_errors_are_the_clients_own(client: Client, repo: lakefs.Repository) -> None:
    main = repo.branch("main")
    with pytest.raises(ConflictException):
        lakefs.Repository(repo.id, client=client).create("local://x")
    lakefs.Repository(repo.id, client=client).create("local://x", exist_ok=True)
    with pytest.raises(BadRequestException, match="no changes"):
        main.commit("nothing")
    with pytest.raises(NotFoundException):
        lakefs.Repository("nowhere", client=client).branch("main").head  # noqa: B018 - it asks
    with pytest.raises(NotFoundException):
        repo.branch("nowhere").commit("x")
    with pytest.raises(NotFoundException):
        repo.branch("x").create("nowhere")
    with pytest.raises(NotFoundException):
        list(repo.ref("nowhere").objects())
    with pytest.raises(NotFoundException):
        repo.ref("main~7").get_commit()
    with pytest.raises(ObjectNotFoundException):
        main.object("nothing").reader().read()
    with pytest.raises(ObjectNotFoundException):
        main.object("nothing").stat()
    with pytest.raises(BadRequestException, match="empty part"):
        main.object("a//b").upload(b"1")
    main.object("a").upload(b"1", mode="x")
    with pytest.raises(ObjectExistsException):
        main.object("a").upload(b"2", mode="x")
    with pytest.raises(BadRequestException, match="uncommitted"):
        main.revert("main")
    repo.branch("exp").create("main")
    with pytest.raises(ConflictException):
        repo.branch("exp").create("main")
    repo.branch("exp").create("main", exist_ok=True)
    with pytest.raises(ServerException, match="not removed"):
        repo.delete()
    with pytest.raises(lakefs_sdk.ApiException, match="presign=false"):
        main.object("b").upload(b"1", pre_sign=True)
    with pytest.raises(ServerException, match="upload objects and commit"):
        main.import_data("x").prefix("s3://bucket/", "in/").start()


def test_protected_branches_are_not_written_to(client: Client, repo: lakefs.Repository) -> None:
    api = client.sdk_client.repositories_api
    main, exp = repo.branch("main"), repo.branch("exp").create("main")
    api.set_branch_protection_rules(repo.id, [{"pattern": "ma*"}])
    assert [rule.pattern for rule in api.get_branch_protection_rules(repo.id)] == ["main"]
    exp.object("a").upload(b"1")
    exp.commit("a")
    for write in (
        lambda: main.object("a").upload(b"1"),
        lambda: main.commit("x"),
        lambda: exp.merge_into(main),
        lambda: main.delete_objects(["a"]),
    ):
        with pytest.raises(ForbiddenException, match="protected"):
            write()
    api.set_branch_protection_rules(repo.id, [])
    exp.merge_into(main)
    assert paths(main) == ["a"]


def test_two_clients_write_and_commit_at_once(server: TrackingServer, repo: lakefs.Repository) -> None:
    failed: list[Exception] = []

    def work(name: str) -> None:
        branch = lakefs.Repository(
            repo.id, client=Client(host=server.url, username=name, password="x")
        ).branch("main")
        try:
            for number in range(8):
                branch.object(f"{name}/{number}").upload(name)
                branch.commit(f"{name} {number}", allow_empty=True)
        except Exception as error:  # noqa: BLE001 - it is told by the other thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("ada", "bo")]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not failed
    main = repo.branch("main")
    assert paths(repo.ref("main@")) == [f"{name}/{number}" for name in ("ada", "bo") for number in range(8)]
    assert len(list(main.log())) == 17


def test_ten_thousand_objects_are_listed_page_by_page(client: Client) -> None:
    repo = lakefs.Repository("many", client=client)
    main = repo.branch("main")
    found = [one.path for one in main.objects()]
    assert found == [f"d{n // 1000}/{n:05}" for n in range(10_000)]
    assert [one.path for one in main.objects(delimiter="/")] == [f"d{n}/" for n in range(10)]
    assert len(list(main.objects(prefix="d3/", delimiter="/", amount=1000))) == 1000
    assert [one.path for one in main.objects(after="d9/09997")] == ["d9/09998", "d9/09999"]
    assert main.object("d4/04321").reader().read() == b"d4/04321"
