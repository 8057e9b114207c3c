"""The HTTP contract, one module for each of its parts."""
