"""What is wrong with candles, each kind under its own id. Pure functions only."""
