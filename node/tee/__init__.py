"""Trusted hardware at this node: producing evidence, and reading the files that judging a peer's needs."""
