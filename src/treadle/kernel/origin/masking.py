"""Takes secrets out of command lines and addresses before they are kept. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from urllib.parse import urlsplit, urlunsplit

MASK = "***"
_SECRET = {
    "auth",
    "authorization",
    "apikey",
    "credential",
    "credentials",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    "secrets",
    "token",
}
_KINDS = {"access", "account", "api", "encryption", "private", "secret", "signing"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ASSIGNED = re.compile(r"(-{0,2}[A-Za-z_][\w.\-/]*)=(.*)", re.DOTALL)
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://)[^/@\s'\"]+@")
_QUERY = re.compile(r"([?&]([\w.\-]+)=)[^&#\s'\"]+")
# Tokens that tell what they are: of Hugging Face, GitHub, GitLab, OpenAI and alike, AWS, Slack, JWT.
_KNOWN = re.compile(
    r"\b(hf_\w{20,}|gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w\-]{16,}|sk-[\w\-]{16,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|xox[abeprs]-[\w\-]{10,}|eyJ[\w\-]{8,}\.[\w\-]{8,}\.[\w\-]{8,})"
)
_BEARER = re.compile(r"(?i)\b((?:bearer|basic)\s+)\S+")


def names_secret(name: str) -> bool:
    """Whether an option, a variable or a parameter of this name holds a secret.

    Whole words count: ``--api-key`` and ``HF_TOKEN`` do, ``--tokenizer`` and ``--key`` don't.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    if any(word in _SECRET for word in words):
        return True
    return any(word in _KINDS and after in {"key", "keys"} for word, after in pairwise(words))


def masked(command: Sequence[str]) -> tuple[str, ...]:
    """A command line without the secrets that can be told from their names or their form.

    The value after ``--password``, in ``--token=...`` and ``db.password=...``, credentials in
    addresses, and tokens of well-known services become ``***``.
    """
    found: list[str] = []
    hide = False
    for word in command:
        if hide and not (word.startswith("--") and len(word) > 2):
            found.append(MASK)
            hide = False
            continue
        given = _ASSIGNED.fullmatch(word)
        if given and names_secret(given[1]):
            found.append(f"{given[1]}={MASK}")
        else:
            found.append(text_masked(word))
        hide = word.startswith("-") and not given and names_secret(word)
    return tuple(found)


def text_masked(text: str) -> str:
    """Text without credentials in addresses and without tokens of well-known services."""
    text = _USERINFO.sub(rf"\1{MASK}@", text)
    text = _QUERY.sub(lambda found: found[1] + MASK if names_secret(found[2]) else found[0], text)
    return _BEARER.sub(rf"\1{MASK}", _KNOWN.sub(MASK, text))


def address(url: str) -> str:
    """The address of a repository without credentials; ``git@host:path`` and paths stay as they are."""
    if "://" not in url:
        return text_masked(url)
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return text_masked(url)
    plain = text_masked(urlunsplit((parts.scheme, f"{host}{port}", parts.path, parts.query, "")))
    if parts.username and parts.scheme.endswith("ssh"):  # a name, by which no one gets in
        return plain.replace("://", f"://{parts.username}@", 1)
    return plain
