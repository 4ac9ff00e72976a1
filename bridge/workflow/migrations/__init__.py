"""Named changes of the database schema, each in its own transaction."""
