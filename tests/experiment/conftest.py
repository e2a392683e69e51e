from servers import full_disk, metadata_url, postgres_server, postgres_url  # noqa: F401
