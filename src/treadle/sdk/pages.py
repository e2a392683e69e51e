"""Plots of any library, and pages of HTML."""

from __future__ import annotations

import io
from typing import Any, ClassVar

from treadle.experiment.types import MediaKind
from treadle.kernel.errors import InvalidInput
from treadle.sdk.media import Media, read


class Plot(Media):
    """A plot as it is now: of matplotlib (and what builds on it) as PNG, of Plotly and Altair as a page.

    Args:
        figure: A figure or axes of matplotlib or seaborn, ``matplotlib.pyplot`` itself, or a figure
            of Plotly, Altair or another library that has ``to_html``.
        caption: What it shows.

    Raises:
        InvalidInput: If it is something else, or the library can't draw it.
    """

    kind: ClassVar[MediaKind] = "plot"

    def __init__(self, figure: Any, caption: str | None = None) -> None:
        super().__init__(*_drawn(figure), caption)

    def _repr_png_(self) -> bytes | None:
        return self.data if self.ending == "png" else None

    def _repr_html_(self) -> str | None:
        return _frame(self.data) if self.ending == "html" else None


class Html(Media):
    """A page. It is shown in a frame of its own, from which it reaches neither Treadle nor the network.

    Args:
        text: The page's text, or the path of an ``.html`` file as a :class:`pathlib.Path`.
        caption: What it shows.

    Raises:
        InvalidInput: If it is empty or no text.
        NotFound: If there is no such file.
    """

    kind: ClassVar[MediaKind] = "html"

    def __init__(self, text: Any, caption: str | None = None) -> None:
        if hasattr(text, "__fspath__"):
            data, _ = read("a page", text, ("html", "htm"))
        elif isinstance(text, str):
            data = text.encode("utf-8", "replace")
        else:
            raise InvalidInput(f"a page is text, not {type(text).__name__}", fix="give its HTML, or a Path")
        if not data.strip():
            raise InvalidInput("the page is empty")
        super().__init__(data, "html", caption)

    def _repr_html_(self) -> str:
        return _frame(self.data)


def _drawn(figure: Any) -> tuple[bytes, str]:
    if hasattr(figure, "gcf"):  # matplotlib.pyplot itself
        figure = figure.gcf()
    if not hasattr(figure, "savefig") and hasattr(getattr(figure, "figure", None), "savefig"):
        figure = figure.figure
    try:
        if hasattr(figure, "savefig"):
            out = io.BytesIO()
            figure.savefig(out, format="png", bbox_inches="tight")
            return out.getvalue(), "png"
        if hasattr(figure, "to_plotly_json"):
            return str(figure.to_html(include_plotlyjs="cdn")).encode(), "html"
        if hasattr(figure, "to_html"):
            return str(figure.to_html()).encode(), "html"
    except Exception as error:
        raise InvalidInput(f"the plot can't be drawn: {type(error).__name__}: {error}") from error
    raise InvalidInput(
        f"a plot can't be made of {type(figure).__name__}",
        fix="give a figure of matplotlib, Plotly or Altair; for pixels there is treadle.Image",
    )


def _frame(page: bytes) -> str:
    from html import escape

    source = escape(page.decode("utf-8", "replace"))
    return f'<iframe sandbox="allow-scripts" srcdoc="{source}" width="100%" height="400"></iframe>'
