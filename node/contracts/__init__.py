"""From a job file to a contract, and what this node makes of a contract that others propose."""
