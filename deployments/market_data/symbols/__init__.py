"""What symbols are called, which there are, and how they come and go as a file."""
