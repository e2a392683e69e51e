"""Names for runs that were given none."""

from __future__ import annotations

import secrets

_HOW = (
    "amber", "bold", "brisk", "calm", "clever", "crisp", "deft", "eager", "fair", "fleet", "gentle", "glad",
    "hardy", "keen", "lively", "lucid", "merry", "mellow", "nimble", "patient", "plain", "quick", "quiet",
    "ready", "rustic", "sharp", "silent", "smooth", "steady", "sturdy", "swift", "tidy", "vivid", "warm",
)  # fmt: skip
_WHAT = (
    "bobbin", "braid", "canvas", "cotton", "damask", "denim", "felt", "flax", "gauze", "heddle", "hemp",
    "jute", "lace", "linen", "loom", "muslin", "needle", "pedal", "pirn", "plaid", "reed", "satin", "selvage",
    "shuttle", "silk", "spindle", "thread", "treadle", "tweed", "twill", "velvet", "warp", "weft",
    "wool", "yarn",
)  # fmt: skip


def random_name() -> str:
    """A name such as ``swift-shuttle-412``."""
    return f"{secrets.choice(_HOW)}-{secrets.choice(_WHAT)}-{secrets.randbelow(900) + 100}"
