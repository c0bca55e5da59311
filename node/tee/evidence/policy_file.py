"""Attestation policies: two by name, others out of TOML files (docs/tee.md has every key)."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from hansa.config import toml_reader
from hansa.config.errors import ConfigError
from hansa.config.toml_reader import TomlTable
from hansa.node.errors import UsageError
from hansa.node.tee.evidence.collateral import read_bounded
from hansa.protocols.wire.attestation.measurements import SgxMeasurement, SnpMeasurement, TdxMeasurement
from hansa.protocols.wire.attestation.policy import NAMED, REVOKED, UP_TO_DATE, EvidencePolicy

STATUSES = (
    UP_TO_DATE,
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "TDRelaunchAdvised",
    "TDRelaunchAdvisedConfigurationNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
)
_REGISTERS = ("rtmr0", "rtmr1", "rtmr2", "rtmr3")
_MOST_BYTES = 1 << 20
_DAY_S = 24 * 3600
_MOST_DAYS = 36_500
_TCB_PARTS = {
    "Milan": ("boot_loader", "tee", "snp", "microcode"),
    "Genoa": ("boot_loader", "tee", "snp", "microcode"),
    "Turin": ("fmc", "boot_loader", "tee", "snp", "microcode"),
}


def load_policy(name_or_path: str) -> EvidencePolicy:
    """The named policy (``strict``, ``report``), else the one in this TOML file; ``ConfigError`` names file, line, key."""
    if name_or_path in NAMED:
        return NAMED[name_or_path]
    path = Path(name_or_path)
    try:
        text = read_bounded(path, _MOST_BYTES).decode("utf-8")
    except (UsageError, UnicodeDecodeError) as error:
        why = error.message if isinstance(error, UsageError) else "it is not UTF-8"
        raise ConfigError(
            f"{path} is neither a policy's name ({', '.join(NAMED)}) nor a file that can be read: {why}",
            remedy="name a policy or a TOML file (docs/tee.md has an example)",
            file=str(path),
        ) from error
    return parse_policy(text, str(path))


def parse_policy(text: str, file: str) -> EvidencePolicy:
    """A policy out of TOML: ``base`` (strict if not said) with what the file changes."""
    document = TomlTable(toml_reader.parse(text, file), text=text, file=file)
    base = NAMED[document.choice("base", tuple(NAMED), "strict")]
    statuses = _some(document, "statuses")
    for status in statuses or ():
        if status not in STATUSES:
            no = (
                f"{REVOKED} cannot be accepted" if status == REVOKED else f"{status!r} is none of {', '.join(STATUSES)}"
            )
            raise document.wrong("statuses", no)
    vmpls = document.texts("vmpls", ("0",))
    if not set(vmpls) <= set("0123"):
        raise document.wrong("vmpls", 'must be a list out of "0", "1", "2", "3"')
    policy = replace(
        base,
        name=file,
        statuses=base.statuses if statuses is None else frozenset(statuses),
        allow_migration=document.flag("allow_migration", False),
        allow_smt=document.flag("allow_smt", True),
        vmpls=frozenset(map(int, vmpls)),
        max_collateral_age_s=_days(document, "max_collateral_age_days"),
        max_tcb_age_s=_days(document, "max_tcb_age_days"),
        least_tcb_evaluation=document.integer("least_tcb_evaluation", 0, 2**32, 0),
        refused_advisories=_advisories(document),
        require_measurement=document.flag("require_measurement", False),
        require_nonce=document.flag("require_nonce", False),
        require_crl=document.flag("require_crl", False),
        least_snp_tcb=_least_tcb(document.table("least_snp_tcb")),
        sgx=tuple(map(_sgx, _entries(document, "sgx"))),
        tdx=tuple(map(_tdx, _entries(document, "tdx"))),
        snp=tuple(map(_snp, _entries(document, "snp"))),
    )
    document.end()
    return policy


def _some(table: TomlTable, key: str) -> tuple[str, ...] | None:
    """A list that is not empty, which would ask nothing; None where it is not there."""
    if not table.has(key):
        return None
    found = table.texts(key)
    if not found:
        raise table.wrong(key, "is empty")
    return found


def _entries(table: TomlTable, key: str) -> tuple[TomlTable, ...]:
    if not table.has(key):
        return ()
    found = table.tables(key)
    if not found:
        raise table.wrong(key, "is empty: leave it out, or list code")
    return found


def _advisories(table: TomlTable) -> frozenset[str]:
    found = [name.upper() for name in _some(table, "refused_advisories") or ()]
    for name in found:
        if not re.fullmatch(r"INTEL-SA-[0-9]{5}", name):
            raise table.wrong("refused_advisories", f"has {name!r}, which is no name like INTEL-SA-00615")
    return frozenset(found)


def _days(table: TomlTable, key: str) -> int | None:
    return table.integer(key, 1, _MOST_DAYS) * _DAY_S if table.has(key) else None


def _least_tcb(table: TomlTable) -> tuple[tuple[str, tuple[tuple[str, int], ...]], ...]:
    found = []
    for product, parts in _TCB_PARTS.items():
        if table.has(product):
            section = table.table(product)
            given = [part for part in parts if section.has(part)]
            found.append((product, tuple((part, section.integer(part, 0, 255, 0)) for part in parts)))
            section.end()
            if not given:
                raise table.wrong(product, f"names none of {', '.join(parts)}")
    table.end()
    return tuple(found)


def _sgx(table: TomlTable) -> SgxMeasurement:
    entry = SgxMeasurement(
        _hex(table, "mrenclave", 32),
        _hex(table, "mrsigner", 32),
        _integer(table, "isv_prod_id"),
        _integer(table, "least_isv_svn"),
    )
    table.end()
    if entry.mrenclave is None and None in (entry.mrsigner, entry.isv_prod_id, entry.least_isv_svn):
        raise table.wrong("mrenclave", "or all of mrsigner, isv_prod_id and least_isv_svn must be given")
    return entry


def _tdx(table: TomlTable) -> TdxMeasurement:
    """MRTD measures the firmware alone: what is said of the registers, be it that they are not looked at, must be said."""
    names = ("mrtd", *_REGISTERS, "mr_config_id", "mr_owner")
    entry = TdxMeasurement(**{name: _hex(table, name, 48) for name in names})
    free = set(_some(table, "any") or ())
    table.end()
    if entry.mrtd is None:
        raise table.wrong("mrtd", "must be given")
    for name in _REGISTERS:
        if (getattr(entry, name) is None) != (name in free):
            raise table.wrong(
                name, f'must be given, or be on the list `any` of what may be anything (any = ["{name}"])'
            )
    if free - set(_REGISTERS):
        raise table.wrong("any", f"must be a list out of {', '.join(_REGISTERS)}")
    return entry


def _snp(table: TomlTable) -> SnpMeasurement:
    entry = SnpMeasurement(
        _hex(table, "measurement", 48),
        _hex(table, "host_data", 32),
        _hex(table, "id_key_digest", 48),
        _integer(table, "least_guest_svn"),
    )
    table.end()
    if entry.measurement is None and entry.id_key_digest is None:
        raise table.wrong("measurement", "or id_key_digest must be given")
    if entry.least_guest_svn is not None and entry.id_key_digest is None:
        raise table.wrong("least_guest_svn", "needs id_key_digest: without an ID key the number is the host's")
    return entry


def _hex(table: TomlTable, key: str, size: int) -> bytes | None:
    if not table.has(key):
        return None
    text = table.text(key)
    if not re.fullmatch(rf"[0-9a-fA-F]{{{2 * size}}}", text):
        raise table.wrong(key, f"must be {size} bytes in hexadecimal digits")
    return bytes.fromhex(text)


def _integer(table: TomlTable, key: str) -> int | None:
    return table.integer(key, 0, 2**32 - 1) if table.has(key) else None
