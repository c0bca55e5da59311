"""Who a node is: an Ed25519 identity that signs, an X25519 static key that its channels use, and a sealing root.

The keys lie in HOME/identity.key, mode 0600, sealed under a passphrase where one is given (Argon2id, then
XSalsa20-Poly1305).
"""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox
from nacl.signing import SigningKey

from hansa.config.errors import ConfigError
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.noise import KeyPair
from hansa.protocols.wire.record import PeerRecord
from hansa.protocols.wire.signing import fingerprint

FILE = "identity.key"
_NO_LINKS = (errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP)
PASSPHRASE_VARIABLE = "HANSA_PASSPHRASE"
_NAMES = ("ed25519", "x25519", "sealing")


@dataclass(frozen=True, slots=True)
class Identity:
    """A node's keys; ``signing_key`` and ``sealing`` are 32 secret bytes each, ``public`` is the Ed25519 key."""

    signing_key: bytes = field(repr=False)
    static: KeyPair
    sealing: bytes = field(repr=False)
    public: bytes

    @classmethod
    def from_secrets(cls, signing_key: bytes, static_secret: bytes, sealing: bytes) -> Identity:
        """The identity of three secrets of 32 bytes; ``ValueError`` for other lengths."""
        if {len(signing_key), len(static_secret), len(sealing)} != {32}:
            raise ValueError("each secret has 32 bytes")
        return cls(signing_key, KeyPair.from_secret(static_secret), sealing, bytes(SigningKey(signing_key).verify_key))

    @property
    def fingerprint(self) -> str:
        """The short id for people."""
        return fingerprint(self.public)

    @property
    def key_text(self) -> str:
        """identity.static in hex: what another node needs to pin this one by hand."""
        return f"{self.public.hex()}.{self.static.public.hex()}"

    def sealing_key(self, about: bytes) -> bytes:
        """The 32-byte key under which this node's worker seals what it keeps of one job, or with one set of parties.

        ``about``: the id of the job or of the set.
        """
        return blake2b(about, key=self.sealing, digest_size=32, person=b"hansa-job-seal").digest()

    def record(self, name: str, addresses: tuple[str, ...], sequence: int) -> PeerRecord:
        """This node's signed peer record."""
        return PeerRecord.make(self.signing_key, self.public, self.static.public, name, addresses, sequence)


def create_identity(home: Path, passphrase: str | None = None) -> Identity:
    """Make fresh keys and write HOME/identity.key; ``ConfigError`` if there is one already."""
    path = home / FILE
    identity = Identity.from_secrets(os.urandom(32), os.urandom(32), os.urandom(32))
    secrets = (identity.signing_key, identity.static.secret, identity.sealing)
    document: dict[str, Any] = {"version": 1}
    if passphrase:
        document["sealed"] = _seal(b"".join(secrets), passphrase)
    else:
        document |= dict(zip(_NAMES, (secret.hex() for secret in secrets), strict=True))
    _write_once(path, json.dumps(document).encode())
    return identity


def load_identity(home: Path, passphrase: str | None = None) -> Identity:
    """Read HOME/identity.key; ``ConfigError`` or ``SecurityError`` says what is wrong with it."""
    path = home / FILE
    try:
        mode = path.stat().st_mode
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} is missing: this home has no identity", remedy=f"run `hansa init --home {home}`", file=str(path)
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", remedy=f"see who owns it: ls -l {path}", file=str(path)
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise SecurityError(
            f"{path} can be read by others (mode {stat.S_IMODE(mode):04o})",
            remedy=f"chmod 600 {path}, and consider a fresh identity if others had access",
            file=str(path),
        )
    try:
        document = json.loads(text)
        if "sealed" in document:
            return Identity.from_secrets(*_thirds(_unseal(document["sealed"], passphrase, path)))
        return Identity.from_secrets(*(bytes.fromhex(document[name]) for name in _NAMES))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged", remedy="restore it from a backup", file=str(path)) from error


def _write_once(path: Path, data: bytes) -> None:
    """Write a new 0600 file, whole or not at all, even if the machine stops now."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _place(unfinished, path)
    except FileExistsError as error:
        raise ConfigError(
            f"{path} exists: this home has an identity already",
            remedy="use it with `hansa run`, or choose another --home",
            file=str(path),
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _place(unfinished: Path, path: Path) -> None:
    """Under its name, unless that is taken: no key is ever overwritten."""
    try:
        os.link(unfinished, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():  # file systems of enclaves have no links: there, nobody else writes either
            raise FileExistsError(path) from error
        unfinished.rename(path)


def _seal(secret: bytes, passphrase: str) -> dict[str, str]:
    salt = os.urandom(argon2id.SALTBYTES)
    return {"salt": salt.hex(), "box": bytes(SecretBox(_key(passphrase, salt)).encrypt(secret)).hex()}


def _unseal(sealed: dict[str, str], passphrase: str | None, path: Path) -> bytes:
    if not passphrase:
        raise SecurityError(
            f"{path} is sealed under a passphrase",
            remedy=f"give it in the variable {PASSPHRASE_VARIABLE}",
            file=str(path),
        )
    salt, box = bytes.fromhex(sealed["salt"]), bytes.fromhex(sealed["box"])
    if len(salt) != argon2id.SALTBYTES:
        raise ValueError("a salt of another length")
    try:
        return bytes(SecretBox(_key(passphrase, salt)).decrypt(box))
    except CryptoError as error:
        raise SecurityError(
            f"the passphrase does not open {path}", remedy=f"correct {PASSPHRASE_VARIABLE}", file=str(path)
        ) from error


def _key(passphrase: str, salt: bytes) -> bytes:
    return argon2id.kdf(32, passphrase.encode(), salt, argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)


def _thirds(secret: bytes) -> tuple[bytes, bytes, bytes]:
    return secret[:32], secret[32:64], secret[64:96]
