"""Attestation between peers: asked, answered, and what enclaves tell each other."""
