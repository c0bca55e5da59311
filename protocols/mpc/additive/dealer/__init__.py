"""Additive sharing with correlations from a dealer that sees no data."""
