"""The SEV-SNP attestation report, versions 2, 3 and 5 (AMD 56860, revision 1.58, table "ATTESTATION_REPORT")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hansa.protocols.wire.attestation.errors import MalformedEvidence, UnknownVersion
from hansa.protocols.wire.attestation.reader import Reader

REPORT_BYTES = 0x4A0
SIGNED_BYTES = 0x2A0
VERSIONS = (2, 3, 5)
ECDSA_P384_SHA384 = 1
SIGNING_KEYS = {0: "VCEK", 1: "VLEK", 7: "none"}
_NUMBER_BYTES = 72  # r and s are little-endian, zero-extended to this
_POLICY_KNOWN = (1 << 26) - 1
_POLICY_MUST = 1 << 17
_PLATFORM_KNOWN = 0b1011_1111
_HIGHEST_VMPL = 3


@dataclass(frozen=True, slots=True)
class Tcb:
    """Versions of the parts of a platform's firmware, from the eight bytes of a TCB_VERSION."""

    raw: bytes

    def parts(self, product: str) -> dict[str, int]:
        """The versions by name; their places differ from Turin on."""
        if product == "Turin":
            names = {"fmc": 0, "boot_loader": 1, "tee": 2, "snp": 3, "microcode": 7}
        else:
            names = {"boot_loader": 0, "tee": 1, "snp": 6, "microcode": 7}
        return {name: self.raw[place] for name, place in names.items()}

    def reserved(self, product: str) -> bytes:
        """The bytes that mean nothing on this product."""
        return self.raw[4:7] if product == "Turin" else self.raw[2:6]


@dataclass(frozen=True, slots=True)
class SnpReport:
    """A report's fields; byte fields as they stand."""

    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    current_tcb: Tcb
    platform_info: int
    author_key_en: int
    mask_chip: int
    signing_key: str
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: Tcb
    cpuid: bytes
    chip_id: bytes
    committed_tcb: Tcb
    current_firmware: tuple[int, int, int]
    committed_firmware: tuple[int, int, int]
    launch_tcb: Tcb
    launch_mitigations: int | None
    current_mitigations: int | None
    r: int
    s: int
    signed: bytes

    @property
    def tcbs(self) -> dict[str, Tcb]:
        """The firmware's versions by what they are of: running now, reported, the least it may go back to, at launch."""
        return {
            "current": self.current_tcb,
            "reported": self.reported_tcb,
            "committed": self.committed_tcb,
            "launch": self.launch_tcb,
        }

    @property
    def debug(self) -> bool:
        """Whether the host may debug the guest: read and write its memory."""
        return bool(self.policy >> 19 & 1)

    @property
    def migrate_ma(self) -> bool:
        """Whether a migration agent may take the guest elsewhere."""
        return bool(self.policy >> 18 & 1)

    @property
    def smt(self) -> bool:
        """Whether the guest may run beside others on one core."""
        return bool(self.policy >> 16 & 1)

    def product(self) -> str | None:
        """The product by CPUID: ``None`` in version 2, which has none, "" for one not known here."""
        if self.version == 2:
            return None
        family, model, _ = self.cpuid
        if family == 0x19 and model <= 0x0F:
            return "Milan"
        if family == 0x19 and (0x10 <= model <= 0x1F or 0xA0 <= model <= 0xAF):
            return "Genoa"
        return "Turin" if family == 0x1A and model <= 0x11 else ""

    def as_fields(self, product: str | None) -> dict[str, Any]:
        """The report for people and programs; the reported TCB's parts only where the product is known."""
        fields: dict[str, Any] = {
            "len": REPORT_BYTES,
            "version": self.version,
            "product": product,
            "guest_svn": self.guest_svn,
            "policy": hex(self.policy),
            "policy_debug": self.debug,
            "migrate_ma": self.migrate_ma,
            "smt": self.smt,
            "vmpl": self.vmpl,
            "sigalgo": ECDSA_P384_SHA384,
            "plat_info": hex(self.platform_info),
            "author_key_en": self.author_key_en,
            "mask_chip": self.mask_chip,
            "signing_key": self.signing_key,
            "cpuid_fam_mod_step": self.cpuid.hex(),
            "current_firmware": ".".join(map(str, self.current_firmware)),
            "committed_firmware": ".".join(map(str, self.committed_firmware)),
        }
        fields |= {f"{name}_tcb": tcb.raw.hex() for name, tcb in self.tcbs.items()}
        for name in _HEX:
            fields[name] = getattr(self, name).hex()
        if self.launch_mitigations is not None and self.current_mitigations is not None:
            fields["launch_mitigations"] = hex(self.launch_mitigations)
            fields["current_mitigations"] = hex(self.current_mitigations)
        if product:
            fields["reported_tcb_split"] = self.reported_tcb.parts(product)
        return fields


_HEX = (
    "report_data",
    "measurement",
    "host_data",
    "id_key_digest",
    "author_key_digest",
    "family_id",
    "image_id",
    "report_id",
    "report_id_ma",
    "chip_id",
)


def parse_untrusted(data: bytes) -> SnpReport:
    """The report in ``data``, which must be nothing else; ``UnknownVersion`` or ``MalformedEvidence``."""
    reader = Reader(data, "SNP report")
    version = reader.number(4, "version")
    if version not in VERSIONS:
        raise UnknownVersion("SNP report: version", f"{version} is not one of {', '.join(map(str, VERSIONS))}")
    if len(data) != REPORT_BYTES:
        raise MalformedEvidence("SNP report", f"has {len(data)} bytes instead of {REPORT_BYTES}")
    values: dict[str, Any] = {
        "version": version,
        "guest_svn": reader.number(4, "guest SVN"),
        "policy": _policy(reader.number(8, "guest policy")),
        "family_id": reader.take(16, "family id"),
        "image_id": reader.take(16, "image id"),
        "vmpl": _vmpl(reader.number(4, "VMPL")),
    }
    if reader.number(4, "signature algorithm") != ECDSA_P384_SHA384:
        raise MalformedEvidence("SNP report: signature algorithm", "is not ECDSA P-384 with SHA-384")
    values["current_tcb"] = Tcb(reader.take(8, "current TCB"))
    values["platform_info"] = _known_bits(reader.number(8, "platform info"), _PLATFORM_KNOWN, "platform info")
    values |= _keys(reader.number(4, "key flags"))
    reader.zeros(4, "reserved bytes at 0x4c")
    return SnpReport(**values, **_identity(reader, version), **_signature(reader), signed=data[:SIGNED_BYTES])


def _identity(reader: Reader, version: int) -> dict[str, Any]:
    values: dict[str, Any] = {
        "report_data": reader.take(64, "report data"),
        "measurement": reader.take(48, "measurement"),
        "host_data": reader.take(32, "host data"),
        "id_key_digest": reader.take(48, "id key digest"),
        "author_key_digest": reader.take(48, "author key digest"),
        "report_id": reader.take(32, "report id"),
        "report_id_ma": reader.take(32, "report id of the migration agent"),
        "reported_tcb": Tcb(reader.take(8, "reported TCB")),
    }
    if version == 2:
        values["cpuid"] = bytes(3)
        reader.zeros(24, "reserved bytes at 0x188")
    else:
        values["cpuid"] = reader.take(3, "CPUID")
        reader.zeros(21, "reserved bytes at 0x18b")
    values["chip_id"] = reader.take(64, "chip id")
    values["committed_tcb"] = Tcb(reader.take(8, "committed TCB"))
    for name in ("current_firmware", "committed_firmware"):
        build, minor, major = reader.take(3, name)
        values[name] = (major, minor, build)
        reader.zeros(1, f"reserved byte after the {name.replace('_', ' ')}")
    values["launch_tcb"] = Tcb(reader.take(8, "launch TCB"))
    has_mitigations = version == 5
    values["launch_mitigations"] = reader.number(8, "launch mitigations") if has_mitigations else None
    values["current_mitigations"] = reader.number(8, "current mitigations") if has_mitigations else None
    reader.zeros(SIGNED_BYTES - reader.at, "reserved bytes before the signature")
    return values


def _signature(reader: Reader) -> dict[str, Any]:
    r, s = reader.number(_NUMBER_BYTES, "signature r"), reader.number(_NUMBER_BYTES, "signature s")
    reader.zeros(512 - 2 * _NUMBER_BYTES, "reserved bytes after the signature")
    reader.end()
    return {"r": r, "s": s}


def _policy(value: int) -> int:
    if not value & _POLICY_MUST:
        raise MalformedEvidence("SNP report: guest policy", "lacks bit 17, which is always set")
    return _known_bits(value, _POLICY_KNOWN, "guest policy")


def _vmpl(value: int) -> int:
    if value > _HIGHEST_VMPL:
        raise MalformedEvidence("SNP report: VMPL", f"{value:#x} is none: the report was not asked for by the guest")
    return value


def _keys(flags: int) -> dict[str, Any]:
    key = SIGNING_KEYS.get(flags >> 2 & 7)
    if key is None or flags >> 5:
        raise MalformedEvidence("SNP report: key flags", f"{flags:#x} are not known")
    return {"author_key_en": flags & 1, "mask_chip": flags >> 1 & 1, "signing_key": key}


def _known_bits(value: int, known: int, field: str) -> int:
    if value & ~known:
        raise MalformedEvidence(f"SNP report: {field}", f"has unknown bits {value & ~known:#x}")
    return value
