"""The history of schema `candlecast`; `runner.py` applies it."""
