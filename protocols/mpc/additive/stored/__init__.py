"""Correlations made ahead of time, each used once."""
