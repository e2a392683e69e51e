"""A reference of a lakeFS server (here another Treadle's, by its protocol) becomes a version."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping

import lakefs
import msgspec
import pytest
from lakefs.client import Client as LakefsClient

from mlflow_parts import TrackingServer, serve
from treadle.client import Client, HttpTransport
from treadle.client.transport import Answer
from treadle.data import Entry, ImportVersion, Source
from treadle.interop.lakefs import LakefsServer, Place, import_lakefs, parse_place
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound, Refused, Unavailable

LARGE = bytes(range(256)) * 5000  # more than goes into a pack


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """The server that is imported from."""
    yield from serve(tmp_path_factory.mktemp("there"))


@pytest.fixture
def repo(there: TrackingServer) -> lakefs.Repository:
    """A repository with two commits, of which ``first`` is the first, and something uncommitted."""
    client = LakefsClient(host=there.url, username="ada", password="any")
    made = lakefs.Repository(f"r-{secrets.token_hex(6)}", client=client).create("local://x")
    main = made.branch("main")
    main.object("a/one").upload(b"1")
    main.object("a/größe 2").upload(b"two")
    main.object("large").upload(LARGE)
    main.object("empty").upload(b"")
    made.tag("first").create(main.commit("first"))
    main.object("a/one").delete()
    main.object("b").upload(b"more")
    main.commit("second")
    main.object("uncommitted").upload(b"x")
    return made


@pytest.fixture
def server(there: TrackingServer) -> Iterator[LakefsServer]:
    transport = HttpTransport(there.url)
    yield LakefsServer(transport, "key", "secret")
    transport.close()


def contents(client: Client, ref: str) -> dict[str, bytes]:
    return {entry.path: b"".join(pieces) for entry, pieces in client.data_archive(ref)}


def test_a_branch_is_pinned_to_its_commit_and_taken_in_once(
    there: TrackingServer, server: LakefsServer, repo: lakefs.Repository, client: Client
) -> None:
    head = repo.branch("main").head.id
    report = import_lakefs(server, Place(repo.id, "first"), client, "pets")
    assert (report.added, report.version.ref, report.commit) == (
        True,
        "pets@v1",
        repo.tag("first").get_commit().id,
    )
    everything = {"a/one": b"1", "a/größe 2": b"two", "large": LARGE, "empty": b""}
    assert contents(client, "pets@v1") == everything
    assert (report.version.message, report.version.actor) == ("first", "ada")

    report = import_lakefs(server, Place(repo.id, "main"), client, "pets")
    del everything["a/one"]
    assert contents(client, "pets@v2") == everything | {"b": b"more"}
    assert report.version.origin == (Source("lakefs", f"lakefs://{repo.id}/{head}/", there.url),)
    again = import_lakefs(server, Place(repo.id, "main@"), client, "pets")
    assert (again.added, again.version) == (False, report.version)

    repo.branch("main").commit("third")
    assert import_lakefs(server, Place(repo.id, "main"), client, "pets").version.ref == "pets@v3"


def test_a_folder_is_taken_in_without_its_name(
    server: LakefsServer, repo: lakefs.Repository, client: Client
) -> None:
    import_lakefs(server, Place(repo.id, "first", "a/"), client, "some")
    assert contents(client, "some") == {"one": b"1", "größe 2": b"two"}


def test_more_objects_than_a_page_has_are_taken_in(
    there: TrackingServer, server: LakefsServer, client: Client
) -> None:
    with Client.http(there.url) as source:
        contents = [b"%d" % number for number in range(1200)]
        sent = source.put_contents("many", contents)
        entries = [Entry(f"{n:04}", len(contents[n]), sent.digests[n]) for n in range(1200)]
        listing = source.put_pieces(iter([msgspec.json.encode(entries)]))
        made = ImportVersion(
            dataset="many", listing=listing, packs=sent.packs, identity=Source("x", "y"), actor="ada"
        )
        digest = source.import_version(made).digest
    assert import_lakefs(server, Place("many", "main"), client, "many").version.digest == digest


class Tampered:
    """A transport whose answers are changed on the way."""

    def __init__(self, url: str, change: Callable[[str, Answer], Answer]) -> None:
        self._real = HttpTransport(url)
        self.name = url
        self._change = change

    def send(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] = {}) -> Answer:
        return self._change(target, self._real.send(method, target, body, headers))

    def close(self) -> None:
        self._real.close()


def _bytes(target: str, answer: Answer) -> Answer:
    if "objects?path=" not in target:
        return answer
    raw = answer.read()
    return Answer(200, iter([b"?" + raw[1:]]), answer.headers)


def _cut(target: str, answer: Answer) -> Answer:
    return Answer(200, iter([answer.read()[:-1]]), {}) if "objects?path=large" in target else answer


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_bytes, CorruptData),
        (_cut, CorruptData),
        (lambda _, answer: Answer(401, iter([b'{"message": "no"}'])), Refused),
        (lambda _, answer: Answer(500, iter([b"<html>"])), Unavailable),
        (lambda _, answer: Answer(200, iter([b"<html>"])), Unavailable),
    ],
)
def test_what_comes_wrong_makes_no_version(
    there: TrackingServer,
    repo: lakefs.Repository,
    client: Client,
    change: Callable[[str, Answer], Answer],
    error: type[Exception],
) -> None:
    server = LakefsServer(Tampered(there.url, change))
    with pytest.raises(error):
        import_lakefs(server, Place(repo.id, "main"), client, "pets")
    assert client.datasets() == []


def test_what_is_not_there_is_told(server: LakefsServer, repo: lakefs.Repository, client: Client) -> None:
    for place in (Place("nowhere", "main"), Place(repo.id, "nowhere")):
        with pytest.raises(NotFound):
            import_lakefs(server, place, client, "pets")


def test_places_are_written_in_two_ways() -> None:
    assert parse_place("pets@main") == Place("pets", "main")
    assert parse_place("pets@main~1/cats/") == Place("pets", "main~1", "cats/")
    assert parse_place("lakefs://pets/first/cats/small") == Place("pets", "first", "cats/small/")
    for text in ("", "pets", "@main", "pets@", "s3://bucket/x"):
        with pytest.raises(InvalidInput):
            parse_place(text)
