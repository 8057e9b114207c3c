"""The keeper and its books: forecasts issued, what became of them, and what is to be done about it."""
