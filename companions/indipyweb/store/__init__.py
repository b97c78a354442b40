"""The content of the database."""
