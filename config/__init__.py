"""Settings, policies, job files and paths."""
