"""`hansa net`: real daemons on loopback, and a relay that delays and slows their links."""
