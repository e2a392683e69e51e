"""What of lakeFS's protocol is not offered, and what to use instead."""

from __future__ import annotations

import re

import treadle

# By the path below /api/v1; a pattern that begins with a method is for that alone.
NOT_OFFERED: tuple[tuple[str, str], ...] = (
    (r"\S+ /auth/.*|\S+ /sts/.*", "accounts, groups and policies are not offered: any access key is taken"),
    (r"\S+ .*/staging/.*", "objects don't bypass this server: upload and get them with presign=false"),
    (r"PUT .*/branches/[^/]+/objects", "objects that lie elsewhere can't be linked: upload them"),
    (r"\S+ .*/branches/[^/]+/import", "imports without a copy are not offered: upload objects and commit"),
    (r"PUT .*/hard_reset", "branches don't move backwards: revert, or `treadle data revert --restore`"),
    (r"PUT .*/user_metadata", "an object's metadata is told with its upload"),
    (r"\S+ .*/pulls.*", "pull requests are not offered here"),
    (r"\S+ .*/actions/.*", "hooks' runs are not offered: `pre_merge` in treadle.toml runs checks"),
    (r"\S+ .*/(gc|settings/gc_rules).*", "what nothing needs any more is freed by `treadle gc`"),
    (r"GET /config/garbage-collection", "what nothing needs any more is freed by `treadle gc`"),
    (r"\S+ .*/(refs/)?(dump|restore)", "repositories are not moved this way here"),
    (r"DELETE /repositories/[^/]+", "datasets are not removed: models may have been made of them"),
    (r"\S+ .*/metadata.*", "metadata of repositories, ranges and metaranges is not offered"),
    (r"\S+ .*/branch_protection", "rules are read and set at /settings/branch_protection"),
    (r"\S+ .*/symlink", "symlink files are not offered"),
    (r"POST .*/commits", "commits are made on branches"),
    (r"\S+ /setup.*", "the server was set up when it started"),
    (r"\S+ /usage-report/.*", "usage reports are not offered"),
)  # fmt: skip
_OFFERED = (
    "repositories, branches, commits, logs, differences, merges, tags, and objects "
    "that are uploaded, read, listed, copied and deleted"
)


def explain(method: str, path: str) -> str:
    """What to say of a request that no route takes."""
    asked = f"{method} {path}"
    why = next((why for pattern, why in NOT_OFFERED if re.fullmatch(pattern, asked, re.DOTALL)), "")
    if not why:
        why = f"there is no {asked[:300]} in the part of lakeFS's protocol that is offered: {_OFFERED}"
    return f"{why} (Treadle {treadle.__version__}, docs/how-to/lakefs.md)"
