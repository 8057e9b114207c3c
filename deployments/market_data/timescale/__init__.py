"""PostgreSQL and TimescaleDB: the only place here that knows SQL."""
