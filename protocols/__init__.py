"""Wire machines, MPC engines and private set intersection: no daemon, no files."""
