"""Images, sounds, tables, plots and pages: others can read what is kept; bad input is told at once."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import treadle
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.sdk.media import LARGEST, Media


def pixels(png: bytes) -> np.ndarray:
    """A PNG read back by its specification: every checksum is looked at."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    place, parts = 8, {}
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        name, body = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack(">I", png[place + 8 + length : place + 12 + length])
        assert zlib.crc32(name + body) == checksum
        parts[name] = body
        place += 12 + length
    assert list(parts) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert (depth, rest) == (8, [0, 0, 0])
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, {0: 1, 2: 3, 6: 4}[colour])


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4])),
    )
)
def test_an_image_is_read_back_pixel_by_pixel(array: np.ndarray) -> None:
    assert (pixels(treadle.Image(array).data) == array).all()


def test_the_forms_of_an_image(tmp_path: Path) -> None:
    grey = np.array([[0.0, 0.5], [1.0, 0.25]])
    assert pixels(treadle.Image(grey).data)[:, :, 0].tolist() == [[0, 128], [255, 64]]
    assert pixels(treadle.Image(grey > 0.3).data)[:, :, 0].tolist() == [[0, 255], [255, 0]]
    assert pixels(treadle.Image([[1, 2], [3, 4]]).data)[:, :, 0].tolist() == [[1, 2], [3, 4]]
    plain = treadle.Image(grey, "a caption")
    (tmp_path / "a.png").write_bytes(plain.data)
    assert treadle.Image(tmp_path / "a.png").data == plain.data
    assert treadle.Image(plain.data).ending == "png"
    assert plain._repr_png_() == plain.data
    assert "a caption" in plain._repr_html_()
    assert repr(plain).startswith("<image 'a caption', ")

    class Tensor:
        """As PyTorch's: channels first."""

        def detach(self):
            return self

        def cpu(self):
            return np.zeros((3, 2, 5), np.float32)

    assert pixels(treadle.Image(Tensor()).data).shape == (2, 5, 3)

    class Pil:
        mode, size = "RGB", (2, 2)

        def save(self, out, kind):
            assert kind == "PNG"
            out.write(plain.data)

    assert treadle.Image(Pil()).data == plain.data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.full((2, 2), np.nan), "NaN"),
        (np.full((2, 2), np.inf), "infinite"),
        (np.zeros((0, 3)), "at least one value"),
        (np.zeros((2, 2, 2)), "height"),
        (np.zeros((3, 20, 20)), "height"),
        (np.zeros((2, 2, 3, 1)), "height"),
        (np.zeros(4), "height"),
        (np.full((2, 2), 1.5), "from 0 to 1"),
        (np.full((2, 2), -1), "from 0 to 255"),
        (np.full((2, 2), 256), "from 0 to 255"),
        (np.array([["a"]]), "can't be made of"),
        (object(), "can't be made of"),
        ([[1, 2], [3]], "can't be made of"),
        (b"GIF", "not a PNG"),
        ("notes.txt", "doesn't look like an image"),
    ],
)
def test_images_that_are_refused(data, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        treadle.Image(data)


def test_files_that_are_not_there_or_not_what_they_say(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        treadle.Image(tmp_path / "none.png")
    (tmp_path / "fake.png").write_text("<script>")
    with pytest.raises(InvalidInput, match="not a PNG"):
        treadle.Image(tmp_path / "fake.png")
    with pytest.raises(InvalidInput, match="up to 1,000 characters"):
        treadle.Image(np.zeros((1, 1)), caption="x" * 1001)
    with pytest.raises(InvalidInput, match="the most is"):
        treadle.Html("x" * (LARGEST + 1))


def test_sounds() -> None:
    tone = np.sin(np.linspace(0, 40, 800))
    with wave.open(io.BytesIO(treadle.Audio(tone, 8000).data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        back = np.frombuffer(file.readframes(800), "<i2") / 32767
    assert np.abs(back - tone).max() < 1e-4
    stereo = np.array([[1, -1], [300, -300]], np.int16)
    with wave.open(io.BytesIO(treadle.Audio(stereo, 44100).data)) as file:
        assert file.getnchannels() == 2
        assert np.frombuffer(file.readframes(2), "<i2").reshape(2, 2).tolist() == stereo.tolist()
    assert "<audio controls" in treadle.Audio(stereo, 44100)._repr_html_()


@pytest.mark.parametrize(
    ("data", "rate", "said"),
    [
        (np.zeros(4), None, "needs a rate"),
        (np.zeros(4), 0, "needs a rate"),
        (np.zeros((2, 400)), 8000, "samples"),
        (np.array([0.0, 2.0]), 8000, "from -1 to 1"),
        (np.array([np.nan]), 8000, "NaN"),
        (np.zeros(4, np.int64), 8000, "can't be int64"),
        (np.zeros(0), 8000, "at least one value"),
    ],
)
def test_sounds_that_are_refused(data, rate, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        treadle.Audio(data, rate)


ROWS = [(1, "a,b"), (2, 'quote " and\nline'), (3, "ü")]


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame(ROWS, columns=["n", "text"]),
        pa.table({"n": [n for n, _ in ROWS], "text": [text for _, text in ROWS]}),
        {"n": [n for n, _ in ROWS], "text": [text for _, text in ROWS]},
        [{"n": n, "text": text} for n, text in ROWS],
    ],
    ids=["pandas", "arrow", "columns", "rows"],
)
def test_a_table_is_what_duckdb_reads(data, tmp_path: Path) -> None:
    table = treadle.Table(data)
    assert (table.columns, table.rows) == (["n", "text"], 3)
    (tmp_path / "t.csv").write_bytes(table.data)
    found = duckdb.sql(f"SELECT * FROM read_csv('{tmp_path}/t.csv', header = true)").fetchall()
    assert found == ROWS
    assert "&quot;" in table._repr_html_()
    assert treadle.Table(ROWS, columns=["n", "text"]).data == table.data


@pytest.mark.parametrize(
    ("data", "columns", "said"),
    [
        ([], None, "at least one column"),
        (ROWS, None, "at least one column"),
        (ROWS, ["n"], "row 0 has 2 values for 1 columns"),
        (ROWS, ["n", "n"], "two columns of one name"),
        ({"a": [1], "b": [1, 2]}, None, "different lengths"),
        ({"a": "text"}, None, "no sequence"),
        (["abc"], ["a"], "no sequence"),
        ("abc", None, "can't be made of str"),
        (3, None, "can't be made of int"),
    ],
)
def test_tables_that_are_refused(data, columns, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        treadle.Table(data, columns)


class Figure:
    """As matplotlib's."""

    def savefig(self, out, format, bbox_inches):  # noqa: A002 - as matplotlib has it
        out.write(treadle.Image(np.zeros((2, 2))).data)


class Broken:
    def savefig(self, out, **_):
        raise RuntimeError("no backend")


class Plotly:
    def to_plotly_json(self): ...

    def to_html(self, include_plotlyjs):
        return f"<html>{include_plotlyjs}</html>"


class Altair:
    def to_html(self):
        return "<html>vega</html>"


def test_plots_and_pages(tmp_path: Path) -> None:
    class Axes:
        figure = Figure()

    class Pyplot:
        gcf = Figure

    for drawn in (Figure(), Axes(), Pyplot()):
        assert pixels(treadle.Plot(drawn).data).shape == (2, 2, 1)
    assert treadle.Plot(Plotly()).data == b"<html>cdn</html>"
    assert treadle.Plot(Altair()).ending == "html"
    with pytest.raises(InvalidInput, match="RuntimeError: no backend"):
        treadle.Plot(Broken())
    with pytest.raises(InvalidInput, match="can't be made of int"):
        treadle.Plot(3)
    (tmp_path / "a.html").write_text("<b>hi</b>")
    assert treadle.Html(tmp_path / "a.html").data == b"<b>hi</b>"
    assert 'sandbox="allow-scripts" srcdoc="&lt;b&gt;' in treadle.Html("<b>hi</b>")._repr_html_()
    for bad in ("", " ", 3, None):
        with pytest.raises(InvalidInput):
            treadle.Html(bad)


def test_a_run_keeps_and_lists_what_it_shows(client, workspace) -> None:
    picture = treadle.Image(np.zeros((2, 2)), "first")
    with treadle.start_run() as run:
        run.log({"val/samples": picture}, step=7)
        run.log(samples=[picture, treadle.Image(np.ones((2, 2)), "second")], loss=0.5, step=3)
        run.log(page=treadle.Html("<p>"))
        run.log(page=treadle.Html("<p>"))
        with pytest.raises(InvalidInput, match="can't be the path"):
            run.log({"../up": picture})
        with pytest.raises(InvalidInput, match="must be a number"):
            run.log(samples=[picture, 3])
        with pytest.raises(InvalidInput, match="must be a number"):
            run.log(samples=[])
    with pytest.raises(Conflict, match="has ended"):
        run.log(page=picture)
    found = client.experiments.media(run.id)
    assert [(m.path, m.info.kind, m.info.name, m.info.step, m.info.caption, m.info.index) for m in found] == [
        ("media/page/0.html", "html", "page", 0, "", 0),
        ("media/page/1.html", "html", "page", 1, "", 0),
        ("media/samples/3-0.png", "image", "samples", 3, "first", 0),
        ("media/samples/3-1.png", "image", "samples", 3, "second", 1),
        ("media/val/samples/7.png", "image", "val/samples", 7, "first", 0),
    ]
    assert workspace.blobs.get(found[2].digest) == picture.data
    assert client.experiments.get(run.id).metrics == {"loss": 0.5}


def test_every_kind_has_a_picture_for_notebooks() -> None:
    kinds = {
        kind.kind: kind for kind in (treadle.Image, treadle.Audio, treadle.Table, treadle.Plot, treadle.Html)
    }
    assert set(kinds) == {"image", "audio", "table", "plot", "html"}
    for kind in kinds.values():
        assert issubclass(kind, Media)
        assert hasattr(kind, "_repr_html_")
