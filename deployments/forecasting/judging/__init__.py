"""What forecasts were worth, and what follows from it. Pure functions only."""
