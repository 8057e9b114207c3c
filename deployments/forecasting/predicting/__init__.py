"""From windows to quantiles: the network, the baselines beside it, and the intervals made honest."""
