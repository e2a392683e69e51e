import itertools
import threading
import time
from datetime import UTC, datetime, timedelta, timezone

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datafiles import at, kept, read, rows, write
from servers import fill
from treadle.data import Datasets, Roles, SliceSpec
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound, StorageFull


@pytest.fixture
def version(datasets):
    return datasets.snapshot("rows", "anna")


def spec(version, **cut):
    return SliceSpec(dataset="rows", version=version.digest, **cut)


def test_get_by_every_name(datasets, source, version):
    rows(source, 0, 10)
    second = datasets.snapshot("rows", "anna")
    assert datasets.get("rows") == datasets.get("rows@latest") == datasets.get("rows@v2") == second
    assert datasets.get("rows@v1") == version
    assert datasets.list() == [second]


def test_get_what_is_not_there(datasets):
    with pytest.raises(NotFound, match="no version yet") as error:
        datasets.get("rows")
    assert "treadle data add rows" in error.value.fix
    datasets.snapshot("rows", "anna")
    with pytest.raises(NotFound, match="no version v7") as error:
        datasets.get("rows@v7")
    assert error.value.fix == "the latest is rows@v1"
    with pytest.raises(NotFound) as error:
        datasets.get("roes")
    assert error.value.fix == "did you mean 'rows'?"
    with pytest.raises(InvalidInput, match="names no dataset version"):
        datasets.get("rows@3")


def test_bounds(datasets, version):
    assert datasets.bounds(version) == (at(1), at(1) + timedelta(hours=999))


def test_bounds_need_a_time(reopen, source):
    write(source, "SELECT 'a' AS id, NULL::TIMESTAMP AS \"at\", 1 AS late, NULL::TIMESTAMP AS known_at")
    datasets = Datasets(reopen())
    version = datasets.snapshot("rows", "anna")
    with pytest.raises(InvalidInput, match="no row has a time"):
        datasets.bounds(version)


def test_a_slice_has_the_rows_of_its_stretch_in_order(datasets, version):
    got, path = datasets.slice(spec(version, since=at(2), until=at(3)), "train")
    assert (got.role, got.rows, got.number) == ("train", 24, 1)
    assert got.spec.roles == Roles(time="at", key="id", label="late", label_time="known_at")
    assert [row[0] for row in read(path, "id")] == [f"k{i}" for i in range(24, 48)]
    assert len(read(path)[0]) == 6


def test_a_slice_of_known_labels(datasets, version):
    """A label counts when it is there and was known by then: rows 24 to 43, less those ending in 9."""
    got, path = datasets.slice(spec(version, since=at(2), until=at(3), known_by=at(3)), "train")
    assert [row[0] for row in read(path, "id")] == [f"k{i}" for i in range(24, 44) if i % 10 != 9]
    assert got.rows == 18


def test_without_label_time_a_label_is_known_at_once(reopen, source):
    datasets = Datasets(reopen(('label_time = "known_at"\n', "")))
    version = datasets.snapshot("rows", "anna")
    _, path = datasets.slice(spec(version, since=at(2), known_by=at(3)), "train")
    assert [row[0] for row in read(path, "id")] == [f"k{i}" for i in range(24, 49) if i % 10 != 9]


@pytest.mark.parametrize(
    "kind", ["TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S", "TIMESTAMP WITH TIME ZONE", "DATE"]
)
def test_every_kind_of_time(reopen, source, kind):
    """One without a zone is taken as UTC, whatever the machine's zone is."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            f"COPY (SELECT 'k' || i AS id, (TIMESTAMP '2026-01-01' + to_days(i::INT))::{kind} AS \"at\","
            " 1 AS late,"
            f" (TIMESTAMP '2026-01-01' + to_days(i::INT + 1))::{kind} AS known_at FROM range(20) r(i))"
            f" TO '{source}' (FORMAT parquet)"
        )
    datasets = Datasets(reopen())
    version = datasets.snapshot("rows", "anna")
    assert datasets.bounds(version) == (at(1), at(20))
    _, path = datasets.slice(spec(version, since=at(3), until=at(10), known_by=at(8)), "train")
    assert [row[0] for row in read(path, "id")] == ["k2", "k3", "k4", "k5", "k6"]


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_nanoseconds_are_read_as_microseconds(reopen, source, zone):
    """As pandas before 3 writes them; newer files of the same folder may have microseconds."""
    write_times(source, pa.timestamp("ns", zone), range(10))
    write_times(source.with_name("later.parquet"), pa.timestamp("us", zone), range(10, 20))
    datasets = Datasets(reopen(("data/rows.parquet", "data")))
    version = datasets.snapshot("rows", "anna")
    kind = "TIMESTAMP WITH TIME ZONE" if zone else "TIMESTAMP"
    assert [column.type for column in version.columns] == ["VARCHAR", kind, "BIGINT", kind]
    assert datasets.bounds(version) == (at(1), at(20))
    got, path = datasets.slice(spec(version, since=at(8), until=at(15), known_by=at(14)), "train")
    assert [row[0] for row in read(path, "id")] == ["k7", "k8", "k9", "k10", "k11", "k12"]
    assert {row[0] for row in read(path, 'typeof("at")')} == {kind}
    assert datasets.slice(got.spec, "train") == (got, path)


def write_times(path, kind, days):
    times = [datetime(2026, 1, 1 + day) for day in days]  # noqa: DTZ001 - Arrow takes it as UTC
    columns = {
        "id": [f"k{day}" for day in days],
        "at": pa.array(times, kind),
        "late": [1 for _ in days],
        "known_at": pa.array([time + timedelta(days=1) for time in times], kind),
    }
    pq.write_table(pa.table(columns), path)


def test_moments_of_any_zone_are_the_same_slice(datasets, version):
    one, path = datasets.slice(spec(version, since=at(2)), "train")
    east = timezone(timedelta(hours=3))
    other, again = datasets.slice(spec(version, since=datetime(2026, 1, 2, 3, tzinfo=east)), "train")
    assert (one, path) == (other, again)
    with pytest.raises(InvalidInput, match="`since` has no time zone"):
        datasets.slice(spec(version, since=datetime(2026, 1, 2)), "train")  # noqa: DTZ001


def test_equal_rows_of_time_and_key_have_one_order(reopen, source):
    """Ties are broken by all columns: another file order gives the same slice."""
    body = "SELECT 'k' AS id, TIMESTAMP '2026-01-01' AS \"at\", i AS late, TIMESTAMP '2026-01-01' AS known_at"
    write(source, f"{body} FROM range(50000) r(i) ORDER BY hash(i)")
    datasets = Datasets(reopen())
    first = datasets.snapshot("rows", "anna")
    write(source, f"{body} FROM range(50000) r(i) ORDER BY hash(i + 7)")
    second = datasets.snapshot("rows", "anna")
    assert first.digest != second.digest
    (_, one), (_, other) = datasets.slice(spec(first), "input"), datasets.slice(spec(second), "input")
    assert read(one) == read(other)
    assert [row[0] for row in read(one, "late")] == list(range(50_000))


# None; at the time of a row; between two rows, where a second more or less changes nothing.
BOUNDS = [None, at(2), at(2, 1), at(3)]


def test_the_identity_of_a_slice_is_that_of_its_rows(reopen, source):
    """Among all specs with the same bounds given: the same rows have one, different rows never have."""
    write(
        source,
        """
        SELECT 'k' || row_number() OVER () AS id, "at"::TIMESTAMP AS "at", late,
            known_at::TIMESTAMP AS known_at
        FROM (VALUES ('2026-01-01', 1, '2026-01-02'), ('2026-01-02', 0, '2026-01-03'),
            ('2026-01-02', 1, NULL), ('2026-01-02', NULL, '2026-01-02'), ('2026-01-03', 0, '2026-01-03'),
            ('2026-01-03', 1, '2026-01-02'), (NULL, 1, '2026-01-02'), ('infinity', 1, '2026-01-03'),
            ('2026-01-04', 1, 'infinity')) v("at", late, known_at)
        """,
    )
    datasets = Datasets(reopen())
    version = datasets.snapshot("rows", "anna")
    rows_of, digest_of = {}, {}
    for cut in itertools.product(BOUNDS, repeat=3):
        bounds = dict(zip(("since", "until", "known_by"), cut, strict=True))
        try:
            got, path = datasets.slice(spec(version, **bounds), "train")
        except InvalidInput:  # no rows
            continue
        given = tuple(bound is not None for bound in cut)
        ids = tuple(row[0] for row in read(path, "id"))
        assert rows_of.setdefault((given, got.digest), ids) == ids
        assert digest_of.setdefault((given, ids), got.digest) == got.digest
    assert len(digest_of) == len(rows_of) == len({digest for _, digest in rows_of}) == 14


def test_other_data_is_another_identity(datasets, source, version):
    """Even if the rows of a slice are still the same: a version is what it was cut from."""
    old, _ = datasets.slice(spec(version, until=at(3)), "train")
    rows(source, 0, 1001)
    new, _ = datasets.slice(spec(datasets.snapshot("rows", "anna"), until=at(3)), "train")
    assert new.rows == old.rows
    assert new.digest != old.digest


def test_years_that_python_has_not(reopen, source):
    write(
        source,
        "SELECT 'k' || i AS id, make_date(20000 * i - 100, 1, 1)::TIMESTAMP AS \"at\", 1 AS late,"
        " TIMESTAMP '2026-01-01' AS known_at FROM range(2) r(i)",
    )
    datasets = Datasets(reopen())
    version = datasets.snapshot("rows", "anna")
    late, _ = datasets.slice(spec(version, since=at(1)), "train")
    early, _ = datasets.slice(spec(version, until=at(1)), "train")
    assert (late.rows, early.rows) == (1, 1)
    assert late.digest != early.digest


def test_a_second_time_is_a_cache_hit(datasets, workspace, version, monkeypatch):
    first = datasets.slice(spec(version, until=at(3)), "train")
    made = first[1].stat().st_mtime_ns
    monkeypatch.setattr(type(workspace.engine), "write_parquet", None)
    assert datasets.slice(spec(version, until=at(3)), "train") == first
    assert first[1].stat().st_mtime_ns == made


def test_a_slice_that_rotted_is_cut_again(datasets, version):
    got, path = datasets.slice(spec(version, until=at(3)), "train")
    path.write_bytes(path.read_bytes()[:100])
    assert datasets.slice(spec(version, until=at(3)), "train") == (got, path)
    assert len(read(path)) == got.rows


def test_a_cached_blob_that_rotted_is_fetched_again(datasets, workspace, version):
    datasets.slice(spec(version, until=at(3)), "train")
    [blob] = (workspace.state / "cache" / "blobs").iterdir()
    blob.write_bytes(blob.read_bytes()[:100])
    got, path = datasets.slice(spec(version, until=at(4)), "train")
    assert len(read(path)) == got.rows == 72


def test_a_blob_that_rotted_in_the_store(datasets, workspace, version):
    [file] = version.files
    blob = workspace.blobs.path(file.digest)
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-10] + b"0123456789")
    before = kept(workspace.state)
    with pytest.raises(CorruptData, match="is not what was stored"):
        datasets.slice(spec(version), "input")
    assert kept(workspace.state) == before


def test_the_roles_are_part_of_what_a_slice_is(datasets, version, reopen):
    """Another declaration of columns is another slice; the old one can still be made."""
    old, path = datasets.slice(spec(version, known_by=at(3)), "train")
    changed = Datasets(reopen(('label_time = "known_at"\n', "")))
    new, _ = changed.slice(spec(version, known_by=at(3)), "train")
    assert new.rows > old.rows
    assert new.digest != old.digest
    assert changed.slice(old.spec, "train") == (old, path)


def test_a_slice_without_rows_says_what_there_is(datasets, workspace, version):
    before = kept(workspace.state / "cache" / "slices")
    with pytest.raises(InvalidInput) as error:
        datasets.slice(
            spec(version, since=at(1, month=6), until=at(1, month=7), known_by=at(1, month=8)), "train"
        )
    assert error.value.where == "rows@v1"
    assert error.value.message == (
        "there are no rows from 2026-06-01 00:00 to 2026-07-01 00:00 with a label known by 2026-08-01 00:00"
    )
    assert error.value.fix == "it covers 2026-01-01 00:00 to 2026-02-11 15:00 (UTC)"
    assert kept(workspace.state / "cache" / "slices") == before


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ({"since": at(3), "until": at(3)}, "is empty"),
        ({"since": at(3), "roles": Roles(key="id")}, "no `time` column"),
        ({"known_by": at(3), "roles": Roles(time="at")}, "no `label` column"),
        ({"known_by": at(3), "roles": Roles(label="late")}, "no `label_time` column"),
        ({"roles": Roles(key="idd")}, "no column 'idd'"),
    ],
)
def test_slices_that_cannot_be_cut(datasets, version, cut, message):
    with pytest.raises(InvalidInput, match=message):
        datasets.slice(spec(version, **cut), "train")


def test_a_slice_of_an_unknown_version(datasets):
    with pytest.raises(NotFound, match="no version with digest 'abc'"):
        datasets.slice(SliceSpec(dataset="rows", version="abc"), "train")


def test_the_same_slice_from_many_threads(datasets, version):
    barrier, found = threading.Barrier(6), []

    def work():
        barrier.wait()
        found.append(datasets.slice(spec(version, until=at(9)), "train"))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len({(got.digest, got.rows, path) for got, path in found}) == 1


def test_a_slice_on_a_full_disk(reopen, source, full_disk, project):
    rows(source, 0, 60_000)
    workspace = reopen()
    datasets = Datasets(workspace)
    version = datasets.snapshot("rows", "anna")
    cache = workspace.state / "cache"
    cache.rename(project / "moved")
    cache.symlink_to(full_disk, target_is_directory=True)
    filler = fill(full_disk, leave=900_000)  # room for the blob, not for the slice
    with pytest.raises(StorageFull):
        datasets.slice(spec(version), "train")
    assert not [name for name in kept(full_disk) if name.startswith("slices")]
    filler.unlink()
    got, path = datasets.slice(spec(version), "train")
    assert len(read(path)) == got.rows == 60_000


def test_a_third_of_a_million_rows(reopen, source):
    columns = ", ".join(f"random() * {n} AS f{n}" for n in range(12))
    write(
        source,
        "SELECT 'k' || i AS id, TIMESTAMP '2026-01-01' + to_seconds(93 * i) AS \"at\", i % 2 AS late,"
        f" TIMESTAMP '2026-01-01' + to_seconds(93 * i) AS known_at, {columns}"
        " FROM range(336776) r(i) ORDER BY hash(i)",
    )
    datasets = Datasets(reopen())
    version = datasets.snapshot("rows", "anna")
    datasets.bounds(version)  # the blob is here
    began = time.process_time()
    got, _ = datasets.slice(
        spec(version, until=at(1, month=4), known_by=datetime(2026, 4, 1, tzinfo=UTC)), "train"
    )
    assert got.rows == 83_613
    assert time.process_time() - began < 3.0  # CPU-seconds; far above what it takes, far below a slow way
