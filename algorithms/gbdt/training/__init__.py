"""Growing boosted trees under MPC."""
