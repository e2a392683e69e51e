import time

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from treadle.kernel.ids import RandomIds, SequentialIds, digest_bytes, digest_file


def test_random_ids_are_unique_and_shaped():
    ids = [RandomIds().new("run") for _ in range(10_000)]
    assert len(set(ids)) == 10_000
    assert all(len(one) == 30 and one.startswith("run_") for one in ids)
    assert not set("".join(one[4:] for one in ids)) - set("0123456789abcdefghjkmnpqrstvwxyz")


@given(st.lists(st.integers(0, 2**47), min_size=2, max_size=5, unique=True))
def test_random_ids_sort_by_time(moments):
    from unittest import mock

    made = []
    for moment in sorted(moments):
        with mock.patch.object(time, "time_ns", lambda m=moment: m * 1_000_000):
            made.append(RandomIds().new("run"))
    assert made == sorted(made)


def test_the_time_of_an_id_is_that_of_the_ulid_specification(monkeypatch):
    """1469918176385 ms is 01ARYZ6S41 in the specification's example."""
    monkeypatch.setattr(time, "time_ns", lambda: 1_469_918_176_385 * 1_000_000)
    assert RandomIds().new("x")[2:12].upper() == "01ARYZ6S41"


def test_sequential_ids_count_by_prefix():
    ids = SequentialIds()
    assert [ids.new("run"), ids.new("job"), ids.new("run")] == ["run_1", "job_1", "run_2"]


def test_a_digest_is_blake3_of_the_bytes(tmp_path):
    """The empty digest is the specification's own test vector."""
    assert digest_bytes(b"") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    data = b"0123456789" * 300_000
    path = tmp_path / "data"
    path.write_bytes(data)
    assert digest_file(path) == digest_bytes(data) == blake3(data).hexdigest()
