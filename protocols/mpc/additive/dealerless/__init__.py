"""Additive sharing with correlations that each two parties make: nobody else is in the room."""
