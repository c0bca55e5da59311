"""Numba kernels: pure functions on arrays, without the interpreter's lock, compiled once and cached on disk."""
