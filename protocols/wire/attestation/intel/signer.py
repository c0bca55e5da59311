"""Who may sign Intel's collateral: the one certificate "Intel SGX TCB Signing", which the root itself issued.

A verifier that takes any certificate below the root would believe a platform's own key, once extracted, about that platform's
patch level. The chains are read here and written anew, so that what verifies the signatures reads the same certificates.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography import x509

from hansa.protocols.wire.attestation.errors import MalformedEvidence
from hansa.protocols.wire.attestation.intel.quote import pem_of
from hansa.protocols.wire.attestation.x509 import common_name, load_certificate_untrusted, pem_blocks_untrusted

CHAINS: Final = ("tcb_info_issuer_chain", "qe_identity_issuer_chain")
_SIGNER: Final = "Intel SGX TCB Signing"
_OF_A_PLATFORM: Final = x509.ObjectIdentifier("1.2.840.113741.1.13.1")


def canonical_chain(text: str) -> tuple[tuple[bytes, ...], str]:
    """The certificates of a chain in PEM, as DER, and the chain as we write it. Raises ``MalformedEvidence``."""
    ders = tuple(der for _, der in pem_blocks_untrusted(text.encode()))
    return ders, pem_of(ders).decode("ascii")


def reason_to_refuse(chains: tuple[tuple[bytes, ...], ...], root: bytes) -> str | None:
    """Why these chains (DER, leaf first) do not vouch for collateral; None where they do, if their signatures hold.

    ``root`` is the SHA-256 of the pinned root certificate.
    """
    for name, chain in zip(CHAINS, chains, strict=True):
        if len(chain) != 2 or hashlib.sha256(chain[1]).digest() != root:
            return f"the collateral's {name} is not one certificate and Intel's root, as pinned in hansa"
        try:
            signer, issuer = map(load_certificate_untrusted, chain)
        except MalformedEvidence as error:
            return f"the collateral's {name}: {error.message}"
        of_a_platform = any(extension.oid == _OF_A_PLATFORM for extension in signer.extensions)
        if common_name(signer.subject) != _SIGNER or signer.issuer != issuer.subject or of_a_platform:
            return f"the collateral's {name} is not of {_SIGNER!r}, which alone may sign it"
    return None
