"""Studies in a database: open, pause, resume, compare."""
