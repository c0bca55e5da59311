"""Linearly homomorphic encryption from ring learning with errors: products of one party's plain data with another's."""
