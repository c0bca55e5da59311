"""Correlated randomness made ahead of time: where it lies, who proposes to make it, and when."""
