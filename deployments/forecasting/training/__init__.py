"""From candles to a candidate: data, examples, the loop, and the books of each run."""
