"""What can be asked."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from treadle.evaluate.behaviour.types import Case, Reply
from treadle.kernel.ids import digest_bytes


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One question, asked once.

    Attributes:
        key: Which question: a case's id, or the digest of what a judge is given.
        repeat: Which repeat of it, from 0.
        input: What is asked.
        seed: The seed of this repeat, for whoever takes one.
        case: The case that it is of.
    """

    key: str
    repeat: int
    input: Any
    seed: int
    case: Case | None = None


class Target(Protocol):
    """Something that answers.

    Attributes:
        name: What to call it in errors and in evaluations.
    """

    name: str

    def check(self, call: Call) -> None:
        """Refuses what it could never be asked.

        Raises:
            InvalidInput: If the question doesn't suit it.
        """

    def ask(self, call: Call, timeout: float) -> Reply:
        """Asks once; whatever goes wrong on the way is an error in the reply.

        Args:
            call: The question.
            timeout: The longest that it may take, in seconds.
        """

    def close(self) -> None:
        """Lets go of connections and processes."""


def seed_of(seed: int, key: str, repeat: int) -> int:
    """The seed of a repeat: 31 bits, the same for every target that is asked the same."""
    return int(digest_bytes(f"{seed}\0{key}\0{repeat}".encode())[:8], 16) >> 1
