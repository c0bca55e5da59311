"""Training and scoring inside an enclave: owners send their rows to attested code, which computes with them in plain."""
