"""Correlated OTs from learning parity with noise."""
