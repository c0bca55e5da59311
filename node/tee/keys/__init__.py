"""Keys of an enclave: sealed to its code, handed to proven enclaves, bound to epochs."""
