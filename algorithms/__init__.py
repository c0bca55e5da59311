"""Learning and metrics, written once against an engine: no I/O."""
