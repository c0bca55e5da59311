"""Trained trees: sealed, applied, released."""
