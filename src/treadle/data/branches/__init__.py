"""Datasets, their branches and tags, and the commits that versions are."""
