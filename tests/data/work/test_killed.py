"""What is killed at any of its steps leaves every version whole, and doing it again completes it."""

from __future__ import annotations

import json

import pytest

from killing import sweep
from servers import S3


@pytest.mark.parametrize("action", ["add", "checkout", "checkout_anew"])
def test_killed_here_and_there(tmp_path, action):
    assert sweep("data_actions", action, tmp_path, every=7) >= 3


def test_killed_while_a_helper_makes_files(tmp_path):
    assert sweep("data_actions", "checkout_shared", tmp_path, every=25) >= 1


@pytest.mark.parametrize("action", ["push", "pull", "pull_shared"])
def test_killed_while_it_moves(tmp_path, action):
    assert sweep("data_actions", action, tmp_path, every=40) >= 2


@pytest.mark.s3
@pytest.mark.parametrize("every", [80, pytest.param(1, marks=pytest.mark.soak)])
def test_killed_while_it_pulls_from_a_bucket(tmp_path, monkeypatch, s3: S3, every):
    place = {"url": f"s3://{s3.bucket}/team", "options": s3.options}
    monkeypatch.setenv("TREADLE_TEST_BUCKET", json.dumps(place))
    assert sweep("data_actions", "pull_from_s3", tmp_path, every) >= 2


@pytest.mark.soak
@pytest.mark.parametrize(
    "action", ["add", "checkout", "checkout_anew", "checkout_shared", "push", "pull", "pull_shared"]
)
def test_killed_at_every_step(tmp_path, action):
    assert sweep("data_actions", action, tmp_path) >= 20
