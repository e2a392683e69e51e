"""What is kept of a command line has no secret in it, and everything else unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.kernel.origin.masking import MASK, address, masked, names_secret, text_masked


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("train.py --password hunter2 --lr 0.1", "train.py --password *** --lr 0.1"),
        ("train.py --password=hunter2", "train.py --password=***"),
        ("train.py --hf-token abc --tokenizer bert", "train.py --hf-token *** --tokenizer bert"),
        ("train.py -token abc", "train.py -token ***"),
        ("train.py --api-key abc --key id", "train.py --api-key *** --key id"),
        ("train.py --apiKey abc --max-tokens 100", "train.py --apiKey *** --max-tokens 100"),
        ("train.py db.password=abc model.depth=3", "train.py db.password=*** model.depth=3"),
        (
            "env HF_TOKEN=abc AWS_SECRET_ACCESS_KEY=k SEED=3",
            "env HF_TOKEN=*** AWS_SECRET_ACCESS_KEY=*** SEED=3",
        ),
        ("train.py --secret --verbose yes", "train.py --secret --verbose yes"),
        ("train.py --data postgres://me:pw@db:5432/x", "train.py --data postgres://***@db:5432/x"),
        ("train.py --data https://h/x?token=abc&n=3", "train.py --data https://h/x?token=***&n=3"),
        ("curl ghp_0123456789abcdefghijklmn", "curl ***"),
        ("curl sk-0123456789abcdefghij", "curl ***"),
        ("train.py --hidden-size 3 --author me", "train.py --hidden-size 3 --author me"),
    ],
)
def test_secrets_go_and_the_rest_stays(command: str, kept: str) -> None:
    assert " ".join(masked(command.split())) == kept


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://user:pw@example.com/a/b.git", "https://example.com/a/b.git"),
        ("https://ghp_secret@example.com:8443/a", "https://example.com:8443/a"),
        ("ssh://git:pw@example.com/a", "ssh://git@example.com/a"),
        ("git@example.com:a/b.git", "git@example.com:a/b.git"),
        ("/srv/git/a", "/srv/git/a"),
        ("https://[broken/a", "https://[broken/a"),
    ],
)
def test_addresses_lose_their_credentials(url: str, kept: str) -> None:
    assert address(url) == kept


def test_a_bearer_in_a_message_is_masked() -> None:
    assert text_masked("fatal: Authorization: Bearer abc.def") == f"fatal: Authorization: Bearer {MASK}"


@given(st.sampled_from(["--password", "--api-key", "--db.secret", "--accessToken"]), st.text(min_size=8))
def test_no_value_after_such_an_option_is_kept(option: str, value: str) -> None:
    assert names_secret(option)
    value = f"x{value}"
    assert value not in " ".join(masked(["a.py", option, value]))
    assert value not in " ".join(masked(["a.py", f"{option}={value}"]))
