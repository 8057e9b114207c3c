"""From a request to an answer that names its rung."""
