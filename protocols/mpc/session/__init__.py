"""Sessions: the only door of an MPC protocol to the other parties."""
