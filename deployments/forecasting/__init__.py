"""Forecasts with honest intervals, their baselines, their training and their registry."""
