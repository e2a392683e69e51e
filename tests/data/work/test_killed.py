"""What is killed at any of its steps leaves every version whole, and doing it again completes it."""

from __future__ import annotations

import pytest

from killing import sweep


@pytest.mark.parametrize("action", ["add", "checkout", "checkout_anew"])
def test_killed_here_and_there(tmp_path, action):
    assert sweep("data_actions", action, tmp_path, every=7) >= 3


@pytest.mark.parametrize("action", ["push", "pull"])
def test_killed_while_it_moves(tmp_path, action):
    assert sweep("data_actions", action, tmp_path, every=40) >= 2


@pytest.mark.soak
@pytest.mark.parametrize("action", ["add", "checkout", "checkout_anew", "push", "pull"])
def test_killed_at_every_step(tmp_path, action):
    assert sweep("data_actions", action, tmp_path) >= 20
