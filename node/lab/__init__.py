"""Nodes on one machine, for trying, showing and measuring."""
