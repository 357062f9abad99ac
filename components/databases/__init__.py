"""Parts of PostgresService and RedisService: one module for each place where they can run."""
