"""Objects of other people's buckets, read where they lie and only if they are what they were.

An object is named by its URL, its size and its ETag. Every answer tells the ETag of the bytes that it
brings, so that bytes of a later object are never taken for those of the one that is named.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from treadle.kernel.errors import CorruptData, InvalidInput, NotFound, TreadleError
from treadle.kernel.object_errors import store_failed
from treadle.kernel.object_stores import open_store

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az")
_PIECE = 1 << 20
_RETRIES = 3


class BucketObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """An object as it was when somebody looked. Its JSON is written in packs: fields are only added.

    Attributes:
        url: Where it lies: ``s3://bucket/key``, the key as it is.
        size: In bytes.
        etag: Its ETag, without quotes.
        version: Its version's identifier, where the bucket's listing tells one.
    """

    url: str
    size: int
    etag: str
    version: str = ""


def decode_object(stored: bytes, where: str) -> BucketObject:
    """Reads what is stored of an object.

    Raises:
        CorruptData: If it can't be read; tells ``where``.
    """
    try:
        return msgspec.json.decode(stored, type=BucketObject)
    except msgspec.MsgspecError as error:
        raise CorruptData(f"where the object lies can't be read: {error}", where=where) from error


class Buckets:
    """Buckets by URL. May be used from several threads.

    Args:
        places: URLs of stores that are configured, and their options, the likeliest first. A bucket
            is opened with the options of the first that is the same one, else of the first of its
            kind; what these don't say comes from the environment (``AWS_ACCESS_KEY_ID``, …).
    """

    def __init__(self, places: Sequence[tuple[str, Mapping[str, str]]] = ()) -> None:
        self._places = tuple(places)
        self._stores: dict[str, ObjectStore] = {}
        self._lock = Lock()

    def listed(self, url: str) -> Iterator[BucketObject]:
        """The objects below a URL by one listing, in the order in which it comes; of an object, itself.

        Raises:
            InvalidInput: If the URL can't be one, or the bucket tells no ETags.
            NotFound: If there is no such bucket.
            StorageError: If the bucket fails.
        """
        import obstore

        bucket, prefix = split_url(url)
        store = self._store(bucket)
        alone = True
        with _errors(url):
            for batch in obstore.list(store, prefix or None, chunk_size=10_000):
                for one in batch:
                    alone = False
                    yield _told(bucket, one)
        if alone and prefix:
            with contextlib.suppress(NotFound), _errors(url):
                yield _told(bucket, obstore.head(store, prefix))

    def read(self, one: BucketObject, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """An object's bytes from ``start`` to before ``end``, piece by piece.

        Raises:
            NotFound: If it is gone.
            CorruptData: If another one lies there by now.
            StorageError: If the bucket fails.
        """
        import obstore

        end = one.size if end is None else min(end, one.size)
        if start >= end:
            return
        bucket, key = split_url(one.url)
        store = self._store(bucket)
        options: Any = {"range": (start, end)}
        if one.version:
            options["version"] = one.version
        size = 0
        with _errors(one.url):
            try:
                found = obstore.get(store, key, options=options)
            except FileNotFoundError:
                raise
            except Exception:  # a range that a later, shorter one doesn't have, perhaps
                self.check(one)
                raise
            _check(one, found.meta)
            for piece in found.stream(min_chunk_size=_PIECE):
                size += len(piece)
                yield bytes(piece)
        if size != end - start:
            raise CorruptData(
                f"{size:,} of {end - start:,} bytes came of the object", where=one.url, fix="try again"
            )

    def check(self, one: BucketObject) -> None:
        """Asks whether an object is what it was; raises as :meth:`read`."""
        import obstore

        bucket, key = split_url(one.url)
        with _errors(one.url):
            if one.version:
                options: Any = {"version": one.version, "head": True}
                _check(one, obstore.get(self._store(bucket), key, options=options).meta)
            else:
                _check(one, obstore.head(self._store(bucket), key))

    def problems(self, objects: Iterable[BucketObject]) -> dict[BucketObject, str]:
        """What is wrong with objects that are gone or were changed; one listing of each bucket tells.

        Raises:
            StorageError: If a bucket fails.
        """
        groups: dict[str, list[BucketObject]] = {}
        found: dict[BucketObject, str] = {}
        for one in objects:
            if not one.version:
                groups.setdefault(split_url(one.url)[0], []).append(one)
                continue
            try:
                self.check(one)
            except (CorruptData, NotFound) as error:
                found[one] = error.message
        for group in groups.values():
            there = {one.url: one for one in self.listed(_folder([one.url for one in group]))}
            for one in group:
                now = there.get(one.url)
                if now is None:
                    found[one] = "the object is gone"
                elif (now.etag, now.size) != (one.etag, one.size):
                    found[one] = f"the object was changed: its ETag is {now.etag}, and was {one.etag}"
        return found

    def _store(self, bucket: str) -> ObjectStore:
        with self._lock:
            if bucket not in self._stores:
                try:
                    self._stores[bucket] = open_store(bucket, self._options(bucket), _RETRIES)
                except Exception as error:  # obstore's errors share no public base
                    raise store_failed(error, bucket) from error
            return self._stores[bucket]

    def _options(self, bucket: str) -> Mapping[str, str]:
        for url, options in self._places:
            if f"{url}/".startswith(f"{bucket}/"):
                return options
        kind = bucket.partition("://")[0]
        return next((options for url, options in self._places if url.startswith(f"{kind}://")), {})


def split_url(url: str) -> tuple[str, str]:
    """A URL's bucket, such as ``s3://bucket``, and the key or prefix within, without slashes at its ends.

    Raises:
        InvalidInput: If it is none of a bucket.
    """
    scheme, _, rest = url.partition("://")
    name, _, key = rest.partition("/")
    if scheme not in SCHEMES or not name:
        raise InvalidInput(
            f"{url[:200]!r} names no bucket", fix=f"write s3://BUCKET/PREFIX (or {', '.join(SCHEMES[1:])})"
        )
    return f"{scheme}://{name}", key.strip("/")


def _folder(urls: Sequence[str]) -> str:
    """The folder in which all of some objects of a bucket lie; of one object, its URL."""
    first, last = min(urls), max(urls)
    if first == last:
        return first
    common = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:common].rpartition("/")[0]


def _told(bucket: str, meta: Mapping[str, Any]) -> BucketObject:
    url = f"{bucket}/{meta['path']}"
    etag = _plain(meta["e_tag"])
    if not etag:
        raise InvalidInput(
            "the bucket tells no ETag, so nobody could say later whether it is the same object",
            where=url,
            fix="copy it: treadle data add",
        )
    return BucketObject(url, int(meta["size"]), etag, meta["version"] or "")


def _check(one: BucketObject, meta: Mapping[str, Any]) -> None:
    etag = _plain(meta["e_tag"])
    if (etag, int(meta["size"])) != (one.etag, one.size):
        raise CorruptData(
            f"the object was changed: its ETag is {etag}, and was {one.etag}",
            where=one.url,
            fix="put the old one back, or take in what lies there now: treadle data import bucket",
        )


def _plain(etag: str | None) -> str:
    return (etag or "").strip('"')


@contextlib.contextmanager
def _errors(url: str) -> Iterator[None]:
    try:
        yield
    except TreadleError:
        raise
    except FileNotFoundError:
        raise NotFound(
            "the object is gone", where=url, fix="put it back, or take in what lies there now"
        ) from None
    except Exception as error:  # obstore's errors share no public base
        raise store_failed(error, url) from error
