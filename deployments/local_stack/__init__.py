"""The embedded default: PostgreSQL, a Ray head and a demo market on one machine."""
