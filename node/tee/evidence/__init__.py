"""Evidence of trusted hardware: produced from devices, judged by policy and collateral."""
