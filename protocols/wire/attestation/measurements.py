"""Code as a policy lists it: an entry names what it wants and leaves the rest ``None``; evidence must equal all it names."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class SgxMeasurement:
    """An enclave: by its own hash, or by its signer with product id and least version."""

    mrenclave: bytes | None = None
    mrsigner: bytes | None = None
    isv_prod_id: int | None = None
    least_isv_svn: int | None = None


@dataclass(frozen=True, slots=True)
class TdxMeasurement:
    """A trust domain: its image and the run-time registers its boot extended."""

    mrtd: bytes | None = None
    rtmr0: bytes | None = None
    rtmr1: bytes | None = None
    rtmr2: bytes | None = None
    rtmr3: bytes | None = None
    mr_config_id: bytes | None = None
    mr_owner: bytes | None = None


@dataclass(frozen=True, slots=True)
class SnpMeasurement:
    """An SNP guest: its launch measurement, what its host wrote beside it, and least version."""

    measurement: bytes | None = None
    host_data: bytes | None = None
    id_key_digest: bytes | None = None
    least_guest_svn: int | None = None


Measurement: TypeAlias = SgxMeasurement | TdxMeasurement | SnpMeasurement


def fits(entry: Measurement, found: dict[str, Any]) -> bool:
    """Whether evidence is as the entry wants: ``found`` has its values by the entry's names, those of ``least_x`` under ``x``."""
    for item in fields(entry):
        wanted = getattr(entry, item.name)
        if wanted is None:
            continue
        least = item.name.startswith("least_")
        value = found[item.name.removeprefix("least_")]
        if value < wanted if least else value != wanted:
            return False
    return True
