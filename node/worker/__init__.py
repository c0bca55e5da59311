"""The process that computes one attempt of one job, and what the daemon and it say to each other."""
