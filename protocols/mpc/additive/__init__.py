"""Additive sharing among N parties, any N - 1 of whom may pool what they saw: the engine and its correlations."""
