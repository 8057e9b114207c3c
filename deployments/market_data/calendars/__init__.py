"""When a market prints bars, and which bars a query means."""
