"""What a daemon says to other daemons, from the socket up.

* ``listener``: the node's one TCP port. It reads what an arriving connection is for, and hands its socket on.
* ``connection``: one encrypted connection to an authenticated peer. It carries whole messages, as bytes.
* ``dialler``: opens a connection to a peer that has several addresses, and paces the loops that dial.
* ``control_link``: one connection between two daemons. It begins with Hello and carries typed messages.
* ``mesh``: one control link to each pinned peer, kept up. The rest of the daemon sends and is called here.
* ``requests``: a request over the mesh and the reply to it.
* ``peers``, ``invites``, ``gossip``, ``discovery``: who is pinned, and how a peer comes to be.
* ``doctor``: which connection between nodes fails, and why.
* ``token_bucket``: how much a peer may have of something.
"""
