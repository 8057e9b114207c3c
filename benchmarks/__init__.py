"""Measurements beside their peers; each module prints its own table. None of them is a test."""
