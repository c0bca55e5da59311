"""What the daemon says to other daemons: one port, one control connection a peer."""
