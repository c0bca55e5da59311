"""Tables: what a file holds, what peers may know of it, and what a worker reads of it."""
