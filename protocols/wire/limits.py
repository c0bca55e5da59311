"""Bounds on the wire formats. Rates and queues stand beside their code; sessions have protocols/mpc/session/limits.py.

Specification constants come from the Noise specification (revision 34); implementation constants are ours.
"""

from __future__ import annotations

from hansa.config.vocabulary import MOST_ADDRESSES, MOST_PARTIES

# Noise specification.
NOISE_MAX_MESSAGE = 65_535
"""Bytes of one Noise message, handshake or transport (Noise, section 3)."""
NOISE_TAG = 16
"""Bytes of an authentication tag (Noise, section 4)."""
NOISE_MAX_NONCE = 2**64 - 1
"""Reserved for rekey; a cipher state that reaches it is spent (Noise, section 5.1)."""

# Preamble.
PREAMBLE_MAX_TOKEN = 32
PREAMBLE_MAX_SUITES = 8

# Channel.
HANDSHAKE_MAX_PAYLOAD = 16 * 1024
"""Bytes of application payload in a handshake message."""
CHANNEL_MAX_MESSAGE = 1 << 30
"""Bytes of one application message; larger arrays travel as several."""
CHANNEL_REKEY_AFTER = 1 << 20
"""Noise messages in one direction after which its sender rekeys (at most 64 GiB under one key)."""
CLOSE_MAX_REASON = 200
"""Bytes of the reason in an explicit close."""

# Time, seconds.
PREAMBLE_DEADLINE_S = 5.0
HANDSHAKE_DEADLINE_S = 10.0
KEEP_ALIVE_INTERVAL_S = 5.0
SILENCE_DEADLINE_S = 20.0
CLOSE_DEADLINE_S = 1.0
"""How long a goodbye may take to leave."""
LAST_WORDS_S = 2.0
"""How long after a failed write the receiving task may still find the peer's own reason."""

# Canonical encoding.
CANONICAL_MAX_VALUES = 1 << 19
"""Values inside one decoded message: a byte on the wire may be an empty map, which takes 64 in memory."""

# Contracts and consent.
CONTRACT_MAX_BYTES = 1 << 20
CONTRACT_MAX_PARTIES = MOST_PARTIES
CONTRACT_MAX_MEMBERS = CONTRACT_MAX_PARTIES + 1
"""The parties, and a dealer or an enclave."""
CONTRACT_MAX_CODES = 16
"""Measurements that a contract accepts."""
CONTRACT_MAX_COLUMNS = 10_000
CONTRACT_MAX_OPENINGS = 256
CONTRACT_MAX_LIFETIME_S = 30 * 24 * 3600
CONTRACT_MAX_ROWS = 1_000_000_000
NAME_MAX = 64
COLUMN_NAME_MAX = 256
KEY_MAX_COLUMNS = 16
TEXT_MAX = 500
MAX_ATTEMPT = 1_000_000
MAX_CHECKPOINTS = 4096

# Control messages.
CONTROL_MAX_BYTES = 4 << 20
MAX_COUNTER = (1 << 63) - 1
"""The greatest request number, byte count or other number that only grows."""
RECORD_MAX_BYTES = 4096
RECORD_MAX_ADDRESSES = MOST_ADDRESSES
MAX_RECORDS = 256
MAX_HEADS = 1024
CATALOG_MAX_DATASETS = 256

# Attestation.
ATTESTATION_MAX_QUOTE = 64 * 1024
"""Bytes of a quote or report; real ones have 1,184 to 8,000."""
ATTESTATION_MAX_COLLATERAL = 4 << 20
"""Bytes of one collateral file."""
ATTESTATION_MAX_CERTIFICATE = 1 << 20
"""Bytes of one certificate or revocation list."""
ATTESTATION_MAX_CERTIFICATES = 64
"""Certificates and revocation lists that one verification looks at."""
ATTESTATION_MAX_SENT = 1 << 20
"""Bytes of evidence and collateral that come over a channel."""
ATTESTATION_MAX_PIECES = 16
"""Files of collateral that come with evidence."""
ATTESTATION_DEADLINE_S = 30.0
"""How long a peer may take to produce evidence."""

# An enclave's keys.
VOTE_MAX_BYTES = 512
"""Bytes of a member's vote for a change of code."""
VOTES_MAX = 256
"""Votes in one message."""
VOTES_PER_VOTER = 16
"""Votes kept of one member, one for each change of code: those that end last."""
VOTES_VERIFIED = 1_024
"""Signatures checked when votes for one change of code are counted."""
VOTE_MAX_AHEAD_S = 367 * 86_400
"""How far ahead a vote may end: a day more than an operator may ask for, since clocks differ."""
VAULT_MAX_ENTRIES = 8_000
"""Model keys that an enclave keeps."""
VAULT_MAX_BYTES = 64 << 20
"""Bytes of model keys with their contracts, on disk."""
VAULT_SHARES = 4
"""Jobs of the same parties may take at most one in so many of the vault's entries and bytes."""
KEY_DIGEST_BYTES = 8
"""By which an enclave tells another which keys it has."""
KEYS_HELD_MAX = 2 * VAULT_MAX_ENTRIES
"""Keys that need not be handed over to an enclave: those it has, and those that it does not take."""
MAX_EPOCH = 1 << 53
"""The highest epoch of an enclave's state."""
EPOCHS_MAX_ENCLAVES = 10_000
"""Enclaves whose epochs a member remembers."""
RELEASE_POLICY_MAX_BYTES = 1 << 20
"""Bytes of an owner's signed release policy: as many columns as a contract names."""
EPOCH_TOKEN_BYTES = 72
"""Bytes of an epoch token, by which an enclave shows the epoch of its sealed state."""
EPOCH_LINEAGES_MAX = 64
"""Lineages of epochs that a member remembers of one enclave: one for each code and sealing key that it ever had."""
HANDED_AT_ONCE = 1 << 20
"""Bytes of model keys in one message, unless a single one takes more; the next goes when this one has been taken in."""
