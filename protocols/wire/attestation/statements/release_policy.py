"""A data owner's release policy: which code may read which columns for which job, until when; signed, and sent with the data.

It travels in front of the encrypted rows (``parcel``) and is checked inside the enclave before the key opens.
"""

from __future__ import annotations

from typing import Any

from hansa.protocols.errors import SecurityError
from hansa.protocols.wire import canonical, limits, signing
from hansa.protocols.wire.attestation.platforms import Code, code_untrusted
from hansa.protocols.wire.declared import declared, each, number, octets, plain, printable, read_fields, texts
from hansa.protocols.wire.fields import Fields

_TAG = "release-policy"
_VERSION = 1
_MAX_TIME = 1 << 53


@declared()
class ReleasePolicy:
    """``owner`` lets the member ``enclave``, proven to run one of ``codes``, read these columns for this job and ``role``.

    ``until`` is Unix seconds, exclusive: when the parcel may still be opened.
    """

    job_id: bytes = octets(32)
    owner: bytes = octets(32)
    enclave: bytes = octets(32)
    role: str = printable(limits.NAME_MAX, 1)
    codes: tuple[Code, ...] = each(limits.CONTRACT_MAX_CODES, code_untrusted, least=1)
    dataset: str = printable(limits.NAME_MAX)
    columns: tuple[str, ...] = texts(limits.CONTRACT_MAX_COLUMNS + 2, limits.COLUMN_NAME_MAX)
    until: int = number(_MAX_TIME)

    def encode(self) -> bytes:
        """Canonical bytes: what is signed."""
        return canonical.encode({"version": _VERSION} | plain(self))

    def signed(self, signing_key: bytes) -> bytes:
        """With the signature of its owner, whose ``signing_key`` this is."""
        body = self.encode()
        return canonical.encode({"policy": body, "sig": signing.sign(signing_key, _TAG, body)})

    @classmethod
    def verified_untrusted(cls, signed: bytes | memoryview) -> ReleasePolicy:
        """The policy of these bytes. Raises ``PeerMisbehaved`` where they are none, ``SecurityError`` where its owner did not
        sign."""
        outer = Fields(canonical.decode_untrusted(signed, limits.RELEASE_POLICY_MAX_BYTES), "a signed release policy")
        body, signature = outer.blob("policy", limits.RELEASE_POLICY_MAX_BYTES), outer.octets("sig", 64)
        outer.end()
        fields = Fields(canonical.decode_untrusted(body, limits.RELEASE_POLICY_MAX_BYTES), "a release policy")
        fields.number("version", _VERSION, _VERSION)
        policy: ReleasePolicy = read_fields(cls, fields)
        signing.verify(policy.owner, _TAG, body, signature)
        return policy

    def check(self, wanted: ReleasePolicy, own: Code, now: int) -> None:
        """Raise ``SecurityError`` naming the first thing that the policy does not release.

        ``wanted`` has what the contract names; its ``until`` does not count. ``own`` is the code that runs here.
        """
        pairs: tuple[tuple[str, Any, Any], ...] = (
            ("job", self.job_id.hex()[:16], wanted.job_id.hex()[:16]),
            ("owner", signing.fingerprint(self.owner), signing.fingerprint(wanted.owner)),
            ("enclave", signing.fingerprint(self.enclave), signing.fingerprint(wanted.enclave)),
            ("role", self.role, wanted.role),
            ("dataset", self.dataset, wanted.dataset),
            ("columns", self.columns, wanted.columns),
        )
        for what, released, asked in pairs:
            if released != asked:
                raise _refused(f"is for the {what} {_shown(released)}, not {_shown(asked)}", what)
        if own not in self.codes:
            raise _refused(f"does not name the code that runs here ({own})", "codes")
        if now >= self.until:
            raise _refused("has ended", "until")


def _shown(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _refused(why: str, what: str) -> SecurityError:
    return SecurityError(
        f"the owner's release policy {why}: its data stays closed",
        remedy="submit the job anew; if it happens again, compare the clocks and versions of all members",
        field=what,
    )
