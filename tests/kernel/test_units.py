import re
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treadle.kernel.config import schema
from treadle.kernel.errors import InvalidInput
from treadle.kernel.units import format_bytes, format_duration, parse_duration, parse_size

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
PARTS = st.lists(st.tuples(st.integers(1, 500), st.sampled_from("smhdw")), min_size=1, max_size=5)
DURATION = re.compile(schema.Duration.__metadata__[0].pattern)


@given(PARTS)
def test_a_duration_is_the_sum_of_its_parts(parts):
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert parse_duration(text) == timedelta(seconds=sum(n * SECONDS[unit] for n, unit in parts))
    assert DURATION.search(text)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.from_regex(DURATION, fullmatch=True))
def test_what_the_file_accepts_can_be_read(text):
    assert parse_duration(text) > timedelta(0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", timedelta(90)),
        ("1h30m", timedelta(hours=1.5)),
        ("0.5s", timedelta(seconds=0.5)),
        ("2w", timedelta(14)),
    ],
)
def test_durations(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "d", "90", "90 d", "-1d", "1y", "1d2", "1d,2h", "0s", "1.d", ".5s", "1D", " 1d"]
)
def test_not_durations(text):
    with pytest.raises(InvalidInput, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["9999999999w", "9" * 400 + "s"])
def test_durations_beyond_time(text):
    with pytest.raises(InvalidInput, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0s"), (0.44, "0.4s"), (9.94, "9.9s"), (12.4, "12s"), (59.6, "1m"),
        (200, "3m 20s"), (3599.7, "1h"),
        (18_720, "5h 12m"), (86_400, "1d"), (183_600, "2d 3h"), (3_000_000, "34d 17h"),
    ],
)  # fmt: skip
def test_durations_for_people(seconds, expected):
    assert format_duration(seconds) == expected


@given(st.floats(0.05, 1e8))
def test_a_duration_for_people_is_near_the_truth(seconds):
    read = parse_duration(format_duration(seconds).replace(" ", "")).total_seconds()
    assert abs(read - seconds) <= max(0.06, seconds / 24)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"), (812, "812 B"), (1024, "1.0 KiB"), (4 << 20, "4.0 MiB"), (3 << 29, "1.5 GiB"),
        (5 << 40, "5.0 TiB"), (5 << 50, "5120.0 TiB"),
    ],
)  # fmt: skip
def test_sizes_for_people(size, expected):
    assert format_bytes(size) == expected


SIZE = re.compile(schema.Size.__metadata__[0].pattern)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("512B", 512), ("1.5KiB", 1536), ("2GB", 2 * 10**9), ("2 GiB", 2 << 30), ("1TiB", 1 << 40)],
)
def test_sizes(text, expected):
    assert parse_size(text) == expected
    assert SIZE.search(text)


@pytest.mark.parametrize("text", ["", "GiB", "0", "0.1", "-1MB", "1 gb", "1iB", "2PB", "1MBB"])
def test_not_sizes(text):
    with pytest.raises(InvalidInput, match="not a size"):
        parse_size(text)
