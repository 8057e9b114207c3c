"""Symbols and candles; the only holder of database credentials."""
