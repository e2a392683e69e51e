"""Judging models: metrics with their uncertainty, and candidates beside production."""
