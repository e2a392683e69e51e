"""Groups of rows: single columns and combinations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.evaluate.models.grouping import groups
from treadle.kernel.errors import InvalidInput

COLUMNS = {
    "sex": np.array(["F", "M", "F", None, "M"], dtype=object),
    "race": np.array(["b", "b", "a", "a", "b"], dtype=object),
}


def test_single_columns_and_combinations_that_there_are():
    found = {group.name: group.rows.tolist() for group in groups(COLUMNS, 5, ["sex"], [["sex", "race"]])}
    assert found == {
        "sex=(missing)": [3],
        "sex=F": [0, 2],
        "sex=M": [1, 4],
        "sex=(missing), race=a": [3],
        "sex=F, race=a": [2],
        "sex=F, race=b": [0],
        "sex=M, race=b": [1, 4],
    }


def test_numbers_masks_and_nan_are_text_or_missing():
    values = {
        "n": np.array([1.5, np.nan, 2.0]),
        "m": np.ma.masked_array([1, 2, 3], [False, True, False]),
    }
    names = [group.name for group in groups(values, 3, ["n", "m"], [])]
    assert names == ["n=(missing)", "n=1.5", "n=2.0", "m=(missing)", "m=1", "m=3"]


def test_a_column_of_another_length_is_refused():
    with pytest.raises(InvalidInput, match="there are 6 labels and 5 values"):
        list(groups(COLUMNS, 6, ["sex"], []))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 2)), min_size=1))
def test_each_cut_is_a_partition_and_intersections_are_intersections(rows):
    columns = {
        name: np.array(values, dtype=object)
        for name, values in zip("pqr", zip(*rows, strict=True), strict=True)
    }
    cut = {
        group.name: set(group.rows.tolist()) for group in groups(columns, len(rows), "pqr", [["p", "q", "r"]])
    }
    for name in "pqr":
        single = [found for key, found in cut.items() if key.startswith(f"{name}=") and ", " not in key]
        assert sum(map(len, single)) == len(rows)
        assert set().union(*single) == set(range(len(rows)))
    for key, found in cut.items():
        if ", " in key:
            assert found == set.intersection(*(cut[part] for part in key.split(", ")))
            assert found
