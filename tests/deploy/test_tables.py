"""Rows that come as one binary tensor: checked, predicted and written down at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from replica_parts import HTTP, FolderPlatform, options, running, write_model

from treadle.deploy.replica.protocol import InferenceRequest, Inputs, Tensor
from treadle.deploy.replica.rownames import RowNames
from treadle.deploy.replica.rows import read_rows
from treadle.kernel.errors import InvalidInput
from treadle.kernel.ids import SequentialIds

COLUMNS = {"a": "float", "b": "float", "c": "float"}
DATATYPES = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    datatype = draw(st.sampled_from(sorted(DATATYPES)))
    width = {"FP16": 16, "FP32": 32, "FP64": 64}[datatype]
    values = st.floats(width=width) | st.floats(-100, 100, width=width)
    return datatype, draw(arrays.arrays(DATATYPES[datatype], (draw(st.integers(1, 4)), 3), elements=values))


@settings(max_examples=150, deadline=None)
@given(tables(), st.booleans())
def test_a_table_is_read_as_its_columns_are(table, nullable):
    datatype, values = table
    known = Inputs({"a": "float", "b": "float", "c": "float"}, ("a", "b", "c"), nullable)
    whole = Tensor("rows", list(values.shape), datatype, values.reshape(-1))
    columns = [Tensor(name, [len(values)], datatype, values[:, i]) for i, name in enumerate("abc")]

    def read(tensors):
        try:
            rows = read_rows(InferenceRequest(tensors), known, 3)
        except InvalidInput as error:
            return str(error)
        return {name: column.tolist() for name, column in rows.by_column(known.features).items()}

    np.testing.assert_equal(read([whole]), read(columns))


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ([("rows", (2, 3)), ("rows", (2, 3))], "twice"),
        ([("rows", (2, 3)), ("a", (2,))], "twice"),
        ([("a", (2,)), ("rows", (2, 3))], "twice"),
        ([("rows", (2, 3)), ("key", (1,))], "has 1 rows, those before it 2"),
        ([("key", (1,)), ("rows", (2, 3))], "has 2 rows, those before it 1"),
        ([("rows", (2, 2))], "no input 'rows'"),
        ([("rows", (-2, 3))], "expected -6"),
        ([("rows", (4, 3))], "at most 3"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tensors, why):
    known = Inputs({"key": "key", "a": "float", "b": "float", "c": "float"}, ("a", "b", "c"))

    def made(name, shape):
        size = abs(int(np.prod(shape)))
        if name == "key":
            return Tensor(name, list(shape), "BYTES", ["k"] * size)
        return Tensor(name, list(shape), "FP32", np.zeros(size, "<f4"))

    with pytest.raises(InvalidInput, match=why):
        read_rows(InferenceRequest([made(*tensor) for tensor in tensors]), known, 3)


def ask(url: str, values: np.ndarray, outputs: list[dict] | None = None):
    """The status of an answer, its JSON and what follows that."""
    data = values.tobytes()
    name = next(name for name, kind in DATATYPES.items() if values.dtype == kind)
    rows = {"name": "rows", "shape": list(values.shape), "datatype": name}
    asked = {"inputs": [{**rows, "parameters": {"binary_data_size": len(data)}}], "outputs": outputs or []}
    head = json.dumps(asked).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = HTTP.request("POST", f"{url}/v2/models/toy/infer", body=head + data, headers=headers)
    length = int(answer.headers.get("Inference-Header-Content-Length", len(answer.data)))
    return answer.status, json.loads(answer.data[:length]), answer.data[length:]


def test_tables_are_answered_and_written_down_row_by_row(tmp_path):
    platform = FolderPlatform(write_model(tmp_path / "model", columns=COLUMNS, impute=True))
    rng = np.random.default_rng(0)
    asked = [rng.normal(size=(count, 3)).astype("<f4") for count in (1, 70, 200, 200, 200, 200, 300, 1000)]
    asked[2][5, 1] = np.nan
    asked.append(rng.normal(size=(80, 3)))
    binary = [{"name": "probability", "parameters": {"binary_data": True}}, {"name": "prediction_id"}]
    found = {}
    with running(options(tmp_path / "state"), platform) as server:
        replies = [ask(server.url, values, binary) for values in asked]
        with ThreadPoolExecutor(8) as pool:  # some are predicted together, and beside the event loop
            replies += pool.map(lambda values: ask(server.url, values, binary), asked)
        text = ask(server.url, asked[0])[1]
        assert HTTP.request("POST", server.url + "/treadle/flush").status == 200
    assert [out["shape"] for out in text["outputs"]] == [[1], [1]]
    for values, (status, head, data) in zip(asked * 2, replies, strict=True):
        assert status == 200
        wanted = 1 / (1 + np.exp(-np.nan_to_num(values.astype("f4")).sum(axis=1)))
        np.testing.assert_allclose(np.frombuffer(data, "<f8"), wanted, atol=1e-6)
        for name, row, output in zip(
            head["outputs"][1]["data"], values, np.frombuffer(data, "<f8"), strict=True
        ):
            found[name] = (row, output)
    logged = {
        name: ([batch.inputs[column][at] for column in "abc"], batch.outputs[at])
        for batch in platform.batches
        for at, name in enumerate(batch.ids)
    }
    assert len(found) == 2 * sum(map(len, asked))
    assert found.keys() <= logged.keys()
    for name, (row, output) in found.items():
        assert logged[name] == ([None if np.isnan(value) else value for value in row.tolist()], output)


def test_names_count_on():
    names = RowNames(SequentialIds())
    first, block, after = names.one(), names.block(3), names.one()
    assert [*first, *block, *after] == sorted({*first, *block, *after})
    assert (len(block), list(block), block[-1], block[1:]) == (3, block[:], block[2], list(block)[1:])
    with pytest.raises(IndexError):
        block[3]
