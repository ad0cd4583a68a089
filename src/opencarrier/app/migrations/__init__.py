"""The schema, version by version (Alembic); a folder is brought up to date when opened."""
