"""The daemon: one process an institution."""
