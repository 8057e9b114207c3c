"""From files and sources to stored candles, judged on the way."""
