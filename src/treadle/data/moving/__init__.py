"""Versions that come from other tools, and versions on their way to them."""
