"""Sans-IO machines and encodings: no trio, no socket, no clock, no randomness."""
