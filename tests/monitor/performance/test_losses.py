"""The loss of a regression before labels: in a world where the loss to expect is known."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from treadle.monitor.performance.losses import expect_loss, model_losses
from treadle.monitor.performance.preparing import histogrammed

BINS = {"size": 10, "place": 4, "prediction": 10}


def rows(seed: int, n: int, shift: float = 0.0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Losses that grow with the size, twice as large in the last place; ``shift`` moves the sizes."""
    rng = np.random.default_rng(seed)
    size = np.clip(rng.normal(5 + shift, 2, n), 0, 9.99)
    place = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    scale = 1 + 0.5 * size + 2.0 * (place == 3)
    losses = np.abs(rng.normal(0, scale))
    return losses, {"size": size.astype(int), "place": place, "prediction": rng.integers(0, 10, n)}


def histogram(places: dict[str, np.ndarray]) -> dict[str, list[int]]:
    return {name: np.bincount(place, minlength=BINS[name]).tolist() for name, place in places.items()}


def test_the_terms_are_those_of_ridge_regression() -> None:
    losses, places = rows(1, 3000)
    found = model_losses(losses, places, BINS, "absolute")
    wide = np.hstack([np.eye(BINS[name])[place] for name, place in places.items()])
    reference = Ridge(alpha=1.0, fit_intercept=False).fit(wide, losses - losses.mean())
    there = np.concatenate([found.terms[name] for name in places])
    assert wide @ there == pytest.approx(wide @ reference.coef_ - (wide @ reference.coef_).mean(), abs=1e-6)


@pytest.mark.parametrize("shift", [-2.0, 0.0, 1.5])
def test_a_window_s_loss_is_known_before_its_labels(shift: float) -> None:
    model = model_losses(*rows(2, 20_000), BINS, "absolute")
    losses, places = rows(3, 20_000, shift)
    found = expect_loss(model, histogram(places))
    assert abs(found.value - losses.mean()) < 4 * found.se
    if shift:
        assert abs(losses.mean() - model.base) > 10 * found.se
        assert found.moved[0][0] == "size"


def test_its_interval_covers_what_is_realised() -> None:
    """Of 200 windows without change 95 % lie within two standard errors of both samples."""
    inside = 0
    for seed in range(200):
        model = model_losses(*rows(1000 + seed, 2000), BINS, "squared")
        losses, places = rows(seed, 1000)
        found = expect_loss(model, histogram(places))
        inside += abs(found.value - losses.mean()) < 1.96 * found.se
    assert 0.9 <= inside / 200 <= 1


def test_bins_that_held_no_row_add_nothing() -> None:
    losses, places = rows(4, 500)
    model = model_losses(losses, places, BINS | {"size": 12}, "absolute")
    assert model.terms["size"][11] == pytest.approx(0, abs=0.2)
    assert (
        expect_loss(model, {name: [0] * bins for name, bins in (BINS | {"size": 12}).items()}).value
        == model.base
    )


def crossed(seed: int, n: int, share: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Losses that are three times as large where two columns agree, as they do for a share of the rows."""
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 4, n)
    other = np.where(rng.random(n) < share, one, (one + rng.integers(1, 4, n)) % 4)
    losses = rng.exponential(np.where(one == other, 3.0, 1.0))
    return losses, {"one": one, "other": other, "third": rng.integers(0, 10, n)}


def test_two_columns_may_say_together_what_neither_says() -> None:
    bins = {"one": 4, "other": 4, "third": 10}
    model = model_losses(*crossed(1, 20_000, 0.25), bins, "absolute")
    assert [(pair.one, pair.other) for pair in model.pairs] == [("one", "other")]
    losses, places = crossed(2, 20_000, 0.6)
    found = expect_loss(model, histogrammed(model, places))
    assert abs(found.value - losses.mean()) < 4 * found.se
    assert found.moved[0][0] == "one and other"
    plain = expect_loss(msgspec.structs.replace(model, pairs=[]), histogrammed(model, places))
    assert losses.mean() - plain.value > 0.5, "which is what single columns miss"


def test_pairs_are_not_made_of_chance() -> None:
    assert sum(len(model_losses(*rows(seed, 3000), BINS, "absolute").pairs) for seed in range(20)) <= 1
