from servers import metadata_url, postgres_server, postgres_url  # noqa: F401
