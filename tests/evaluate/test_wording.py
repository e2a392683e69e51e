"""Numbers in sentences."""

from __future__ import annotations

import pytest

from treadle.evaluate.wording import beside


@pytest.mark.parametrize(
    ("gain", "says"),
    [
        (0.01234, "0.0123 better than"),
        (-0.2, "0.2000 worse than"),
        (-1234.5, "1,234.50 worse than"),
        (0.0, "as good as"),
        (-0.00004, "as good as"),
    ],
)
def test_what_no_digit_shows_is_neither_better_nor_worse(gain: float, says: str) -> None:
    assert beside(gain) == says
