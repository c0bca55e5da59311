"""How parties come to agree: the contract, signatures under it, consent, resumption."""
