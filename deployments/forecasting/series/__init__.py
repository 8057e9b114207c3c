"""What is known of a market: its bars on a grid, their season and scale, cut into windows."""
