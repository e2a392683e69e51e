"""Opening object stores by URL."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# obstore takes these apart from the store's own; it panics when they are mixed.
_CLIENT_OPTIONS = ("allow_http", "allow_invalid_certificates", "connect_timeout", "proxy_url", "timeout")


def open_store(url: str, options: Mapping[str, str], retries: int | None = None) -> ObjectStore:
    """Opens the object store at a URL; raises obstore's errors.

    Args:
        url: Such as ``s3://bucket/prefix``.
        options: Its options, such as ``endpoint``.
        retries: How often a request is tried again; the library's choice when None.
    """
    from obstore.store import from_url

    client: Any = {key: value for key, value in options.items() if key in _CLIENT_OPTIONS}
    store: Any = {key: value for key, value in options.items() if key not in client}
    if retries is not None:
        store["retry_config"] = {"max_retries": retries}
    if client and "AWS_ALLOW_HTTP" in os.environ:  # obstore looks there only where no option is given
        client.setdefault("allow_http", os.environ["AWS_ALLOW_HTTP"])
    return from_url(url, client_options=client or None, **store)
