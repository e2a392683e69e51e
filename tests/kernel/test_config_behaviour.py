"""``[checks.behaviour.NAME]``: keys that don't fit each other are refused with their line."""

from __future__ import annotations

import pytest

from treadle.kernel.config import TargetConfig, parse_config
from treadle.kernel.errors import ConfigError

HEAD = '[project]\nname = "p"\n'
GOOD = (
    HEAD
    + """
[checks.behaviour.support]
cases = "cases.jsonl"
target = "app.bot:answer"
baseline = "last"
repeats = 4
bound = 0.8
by = ["topic"]
pass_hat_k = { k = 3, bound = 0.6 }

[checks.behaviour.support.scorers.right]
kind = "exact"
ignore = ["case"]

[checks.behaviour.support.scorers.kind]
kind = "judge"
rubric = "Is it kind?"
passes = 0.75
scale = [1, 5]

[checks.behaviour.support.judges.first]
url = "http://localhost:1/v1"
model = "judge-1"
key_env = "JUDGE_KEY"
input_price = 2
"""
)


def change(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_good_check():
    check = parse_config(GOOD).checks.behaviour["support"]
    assert (check.target, check.repeats, check.measure) == ("app.bot:answer", 4, "pass_rate")
    assert check.judges["first"] == TargetConfig(
        url="http://localhost:1/v1", model="judge-1", key_env="JUDGE_KEY", input_price=2
    )


UNNAMED = change('target = "app.bot:answer"\n', "")
TABLE = "[checks.behaviour.support.target]\n"
MISTAKES = [
    (change("app.bot:answer", "app.bot"), "target =", "no Python function"),
    (UNNAMED + TABLE, ".target]", r"needs a function \(call\) or an"),
    (UNNAMED + TABLE + 'url = "ftp://x"\nmodel="m"', 'url = "ftp', "no address"),
    (UNNAMED + TABLE + 'url = "http://x"', ".target]", "needs `model`"),
    (UNNAMED + TABLE + 'url = "http://me:pw@x"\nmodel = "m"', "http://me", "no password"),
    (UNNAMED + TABLE + 'url = "http://x"\ncall="a:b"', "call=", "not both"),
    (
        UNNAMED + TABLE + 'call = "a:b"\nmodel = "m"\n',
        'model = "m"',
        "a Python function takes no `model`",
    ),
    (
        UNNAMED + TABLE + 'url="http://x"\napi="json"\nanswer="a"',
        ".target]",
        "needs `body`",
    ),
    (change('baseline = "last"', 'baseline = "app bot:f"'), "baseline =", "no Python function"),
    (change('baseline = "last"\n', ""), "by =", "groups are held against a baseline"),
    (change("k = 3", "k = 5"), "pass_hat_k", "k is 5 and each case is asked 4 times"),
    (change('ignore = ["case"]', 'pattern = "x"'), "pattern", "takes no `pattern`"),
    (change('ignore = ["case"]', 'ignore = ["cas"]'), "ignore", "it can't be"),
    (change('kind = "exact"\nignore = ["case"]', 'kind = "regex"\npattern = "("'), "pattern", "no regular"),
    (change('kind = "exact"\nignore = ["case"]', 'kind = "python"'), "scorers.right]", "needs `call`"),
    (
        change('kind = "exact"\nignore = ["case"]', 'kind = "similarity"\npasses = 0.5\nby = "embedding"'),
        "scorers.right]",
        "go together",
    ),
    (change("passes = 0.75\n", ""), "scorers.kind]", "needs `passes`"),
    (change("scale = [1, 5]", "scale = [5, 1]"), "scale", "from its lowest"),
    (change("scale = [1, 5]", 'judges = ["frist"]'), "judges = [", "did you mean 'first'"),
    (change("repeats = 4", 'repeats = 4\nmeasure = "rihgt"'), "measure", "did you mean 'right'"),
    (change("scorers.right]", "scorers.pass_rate]"), "pass_rate]", "take another name"),
    (change("scorers.right]", 'scorers."a b"]'), 'scorers."a b"]', "can't be the name of a scorer"),
    (change("repeats = 4", "repeats = 4\nstop_early = { worse = 0.9 }"), "stop_early", "less than the bound"),
    (
        change("repeats = 4", "repeats = 4\nstop_early = { worse = 0.1 }"),
        "stop_early",
        "pass_hat_k and by needs all cases",
    ),
    (change("input_price = 2", "").replace("repeats = 4", "budget = 1\nrepeats = 4"), "budget", "no price"),
    (change("repeats = 4", "repaets = 4"), "repaets", "did you mean 'repeats'"),
    (GOOD.replace("support", '"a/b"'), '[checks.behaviour."a/b"]', "can't be the name of a behaviour check"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "says"), MISTAKES)
def test_a_mistake_is_named_with_its_line(text, line, says):
    with pytest.raises(ConfigError, match=says) as caught:
        parse_config(text)
    number = next(number for number, one in enumerate(text.splitlines(), 1) if line in one)
    assert caught.value.where == f"treadle.toml:{number}"


def test_something_must_be_good_enough():
    text = '[checks.behaviour.a]\ncases="c"\ntarget="a:b"\n[checks.behaviour.a.scorers.s]\nkind="exact"'
    with pytest.raises(ConfigError, match="nothing says what is good enough"):
        parse_config(HEAD + text)
