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
            given, version = name_and_version(distribution)
            name = re.sub(r"[-_.]+", "-", given).lower()
            if name and name not in found:  # the first on the path is the one that is imported
                found[name] = _line(name, version, distribution)
        except Exception:  # noqa: BLE001, S112 - one broken installation must not hide the others
            continue
    return "".join(f"{found[name]}\n" for name in sorted(found))


def name_and_version(distribution: Distribution) -> tuple[str, str]:
    """Both as its metadata gives them, ``""`` for what they lack.

    Only these two headers are looked for: ``Distribution.metadata`` parses the whole file,
    description included, at every access, which takes 50 times as long.
    """
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    head = text.partition("\n\n")[0]
    name, version = (re.search(rf"^{key}:[ \t]*(\S+)", head, re.MULTILINE) for key in ("Name", "Version"))
    return name[1] if name else "", version[1] if version else ""


def digest(text: str) -> str:
    """The SHA-256 of a lock: the same for two environments with the same packages."""
    return hashlib.sha256(text.encode()).hexdigest()


def _line(name: str, version: str, distribution: Distribution) -> str:
    direct = distribution.read_text("direct_url.json")
    if not direct:
        return f"{name}=={version}"
    said = json.loads(direct)
    url = address(str(said["url"]))
    if "vcs_info" in said:
        vcs = said["vcs_info"]
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    if said.get("subdirectory"):
        url += f"#subdirectory={said['subdirectory']}"
    editable = "  # editable" if said.get("dir_info", {}).get("editable") else ""
    return f"{name} @ {url}{editable}"
