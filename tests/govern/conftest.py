from servers import metadata_url, postgres_server, postgres_url, s3, s3_server  # noqa: F401
