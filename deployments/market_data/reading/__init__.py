"""From a question to candles, from whichever source still answers, and said so."""
