"""Intel SGX and TDX: quotes, collateral."""
