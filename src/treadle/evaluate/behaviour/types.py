"""What is asked, what came back, and what it is worth."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

ErrorKind = Literal[
    "timeout", "rate_limited", "server", "refused", "connection", "malformed", "nothing", "not_json",
    "too_long", "raised", "crashed",
]  # fmt: skip
"""Why there is no answer: what the target, or the way to it, did."""


class Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question, and what is known of its answer.

    Attributes:
        id: Its name, by which results are followed.
        input: What is asked: text, a list of messages with ``role`` and ``content``, or any JSON.
        expected: What the answer should be; what that means is the scorer's to say.
        tags: Groups that it belongs to: names with values, or only names.
        scorers: The only scorers that look at it, by name; or keys of scorers that are different for it.
        extra: What else stands with it.
    """

    id: str
    input: Any
    expected: Any = None
    tags: dict[str, str] | list[str] = {}
    scorers: list[str] | dict[str, dict[str, Any]] = []
    extra: dict[str, Any] = {}


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a call took.

    Attributes:
        input_tokens: Tokens that were read.
        output_tokens: Tokens that were written.
    """

    input_tokens: int = 0
    output_tokens: int = 0


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a call came to.

    Attributes:
        value: The answer: text, or any JSON.
        error: Why there is none.
        detail: The error in words.
        usage: The tokens that it took, as far as that was told.
        seconds: How long the call that came to this took, without waiting and earlier tries.
        tries: How many calls it took.
        model: The model and version that answered, as it names itself.
        cut: Whether the answer ends at the limit of its length.
        retry_after: After how many seconds the target wants to be asked again.
        status: The HTTP status of a refusal.
    """

    value: Any = None
    error: ErrorKind | None = None
    detail: str = ""
    usage: Usage = Usage()
    seconds: float = 0.0
    tries: int = 1
    model: str = ""
    cut: bool = False
    retry_after: float | None = None
    status: int = 0


class Answered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call that was made, as it is kept.

    Attributes:
        of: What was asked: ``target``, ``baseline``, or a judge of a scorer.
        key: Which call: a case's id, or the digest of what a judge was given.
        repeat: Which repeat of it, from 0.
        reply: What came back.
        cost: What it cost, with all tries.
        at: When, in seconds since 1970.
    """

    of: str
    key: str
    repeat: int
    reply: Reply
    cost: float = 0.0
    at: float = 0.0


class Score(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a scorer says of an answer.

    Attributes:
        value: From 0 to 1; None where the scorer couldn't tell.
        reason: Why, in words.
        votes: What each judge gave, by name, on its own scale.
    """

    value: float | None = None
    reason: str = ""
    votes: dict[str, float] = {}
