"""The environment lock: what is installed, as a requirements file."""

from __future__ import annotations

import hashlib
import json
import re
from importlib.metadata import Distribution, distributions

from treadle.kernel.origin.masking import address


def lock() -> str:
    """Installed distributions as ``name==version`` lines, sorted.

    One that was installed from a repository, an address or a folder is written as PEP 440's
    direct reference, from its ``direct_url.json`` (PEP 610), without credentials.
    """
    found: dict[str, str] = {}
    for distribution in distributions():
        try:
            name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
            if name and name not in found:  # the first on the path is the one that is imported
                found[name] = _line(name, distribution)
        except Exception:  # noqa: BLE001, S112 - one broken installation must not hide the others
            continue
    return "".join(f"{found[name]}\n" for name in sorted(found))


def digest(text: str) -> str:
    """The SHA-256 of a lock: the same for two environments with the same packages."""
    return hashlib.sha256(text.encode()).hexdigest()


def _line(name: str, distribution: Distribution) -> str:
    direct = distribution.read_text("direct_url.json")
    if not direct:
        return f"{name}=={distribution.version}"
    said = json.loads(direct)
    url = address(str(said["url"]))
    if "vcs_info" in said:
        vcs = said["vcs_info"]
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    if said.get("subdirectory"):
        url += f"#subdirectory={said['subdirectory']}"
    editable = "  # editable" if said.get("dir_info", {}).get("editable") else ""
    return f"{name} @ {url}{editable}"
