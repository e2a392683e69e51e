from live import live, transport  # noqa: F401 - fixtures
