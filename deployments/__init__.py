"""Candlecast's Ray Serve graph: one package per context, one Ray shell in each."""
