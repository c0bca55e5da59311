"""A job's life at this node: proposed, signed by all, run, resumed, ended alike everywhere."""
