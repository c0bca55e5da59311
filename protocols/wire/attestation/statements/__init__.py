"""What is signed or proven about an enclave: proofs, release policies, parcels, votes."""
