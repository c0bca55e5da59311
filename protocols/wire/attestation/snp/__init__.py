"""AMD SEV-SNP: reports, certificate chain, revocation."""
