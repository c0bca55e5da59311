"""AMD's root keys (ARK), pinned: a supplied root certificate is believed only if its key is one of these.

SHA-256 of the DER SubjectPublicKeyInfo of the ARK certificates AMD publishes for each product
(https://kdsintf.amd.com/vcek/v1/{Milan,Genoa,Turin}/cert_chain, the second certificate). VCEK and VLEK chains of a
product end in the same key.
"""

from __future__ import annotations

AMD_ROOTS = {
    "Milan": bytes.fromhex("9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9"),
    "Genoa": bytes.fromhex("429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831"),
    "Turin": bytes.fromhex("4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08"),
}
