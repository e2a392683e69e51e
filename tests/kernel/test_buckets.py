"""Objects of buckets: how they are named, and what is stored of them."""

from __future__ import annotations

import msgspec
import pytest

from treadle.kernel.buckets import BucketObject, decode_object, split_url
from treadle.kernel.errors import CorruptData, InvalidInput


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://lake", ("s3://lake", "")),
        ("s3://lake/", ("s3://lake", "")),
        ("s3://lake/a b/ü%2F/", ("s3://lake", "a b/ü%2F")),
        ("gs://lake/a", ("gs://lake", "a")),
        ("az://lake/a//b", ("az://lake", "a//b")),
    ],
)
def test_urls_have_a_bucket_and_a_key(url: str, parts: tuple[str, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize("url", ["", "lake", "s3:/lake", "s3://", "s3:///a", "file:///etc", "http://x/y"])
def test_what_is_no_bucket(url: str) -> None:
    with pytest.raises(InvalidInput, match="names no bucket"):
        split_url(url)


def test_what_is_stored_never_changes() -> None:
    one = BucketObject("s3://lake/a", 7, "0cc1")
    assert msgspec.json.encode(one) == b'{"url":"s3://lake/a","size":7,"etag":"0cc1"}'
    assert decode_object(msgspec.json.encode(one), "pack") == one
    with pytest.raises(CorruptData, match="can't be read"):
        decode_object(b'{"url":"s3://lake/a"}', "pack")
