"""The command line: one file a verb group, each a thin client of the API."""
