"""Versions as file systems: listed and read by path, and changed a few paths at a time."""
