"""What a user would otherwise run, written as well as the idea allows."""
