"""What a job will cost: rounds, bytes and memory, stated before anybody signs."""
