"""Scores, their tables and comparisons."""
