"""Oblivious transfer (OT) between two parties: random, correlated (COT) and 1-of-16, from SoftSpokenOT or Ferret."""

from hansa.protocols.mpc.ot.pair import start_pair
from hansa.protocols.mpc.ot.receiver import OtReceiver
from hansa.protocols.mpc.ot.sender import OtSender

__all__ = ["OtReceiver", "OtSender", "start_pair"]
