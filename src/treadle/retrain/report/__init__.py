"""A model's history as one self-contained HTML page."""

from treadle.retrain.report.page import render_report

__all__ = ["render_report"]
