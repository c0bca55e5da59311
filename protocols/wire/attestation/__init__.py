"""Evidence of trusted hardware, judged: bytes, a policy and a time in, one verdict with every reason out (docs/tee.md)."""
