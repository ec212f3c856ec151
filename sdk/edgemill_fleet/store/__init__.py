"""What the fleet manager keeps: one relational database, SQLite by default, PostgreSQL at scale."""
