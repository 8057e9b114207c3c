"""Passages, embeddings, retrieval and analogues."""
