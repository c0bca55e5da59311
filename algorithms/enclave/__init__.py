"""Jobs inside an enclave: owners send their rows, encrypted, to attested code, which trains and scores in plain."""
