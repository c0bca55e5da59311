"""What this node's own people ask of their daemon: a local socket, JSON-RPC, one line a message."""
