"""The encrypted channel's machines: preamble, handshake, records of bulk."""
