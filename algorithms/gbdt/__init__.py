"""Gradient-boosted trees on vertically split data, on any engine."""
