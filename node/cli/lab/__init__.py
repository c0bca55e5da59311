"""The commands of the lab: several nodes on one machine."""
