"""Where things are kept: SQLite files or a PostgreSQL database, each with one writer to a process."""
