"""`hansa`, the command line: a client of the admin socket that imports no numerics."""
