"""Secrets do not print: no ``repr`` shows a key, a seed, a share, a token or an array of secret numbers.

Every dataclass and named tuple of the package is walked. A field whose name says that it is secret must be ``repr=False``,
and so must every array. What is public stands in ``PUBLIC`` with its reason. ``Share`` and ``BitShare`` hide themselves.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import hansa
from hansa.node.identity import Identity
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.record import JobRecord
from hansa.node.worker.links import LinkTerms
from hansa.node.worker.messages import Start
from hansa.protocols.mpc.shares import BitShare, Product, Share

SECRET_WORDS = {
    *("key", "keys", "secret", "secrets", "seed", "seeds", "share", "shares", "shared", "pad", "pads", "mask", "masks"),
    *("passphrase", "password", "psk", "token", "tokens", "private", "signing", "sealing", "coins", "static"),
}
RAW_TYPES = r"\b(bytes|bytearray|str|int|float|Any|object|dict|list\[bytes\]|Callable)\b"
ARRAY_TYPES = r"\b(NDArray|ndarray|Ring|Words|Bytes|Vector|Matrix|Array|Plain|Bins|Numbers|Octets|Values)\b"

PUBLIC = {
    "Terms.seed": "a job's seed of splits and subsampling is in its contract",
    "Problem.seed": "the contract's",
    "Contract.seed": "all parties sign it",
    "JobFile.seed": "it becomes the contract's",
    "PeerEntry.key": "a peer's public keys, as its operator tells them",
    "DemoTables.key": "a column's name",
    "TableSpec.key": "columns' names",
    "DatasetInfo.key": "columns' names",
    "_JudgedProof.token": "members see and keep it",
    "PeerTerms.token": "the route that the clear preamble names",
    "Preamble.token": "sent in the clear",
    "PingReceived.token": "a number that a peer wants back",
    "PongReceived.token": "the same number",
    "Signature.job_key": "the public half",
    "PeerRecord.static_key": "the public half",
    "Invitation.static_key": "the inviter's public half",
    "HandshakeParams.remote_static": "the peer's public half",
    "Established.remote_static": "the peer's public half",
    "Proven.public_key": "the public half",
    "SnpMeasurement.id_key_digest": "a digest of a public key",
    "SnpReport.id_key_digest": "a digest of a public key",
    "SnpReport.author_key_digest": "a digest of a public key",
    "SnpReport.author_key_en": "whether there is one",
    "SnpReport.signing_key": "which of the vendor's keys signed",
    "SnpReport.mask_chip": "a flag",
    "IntelQuote.attestation_key": "the public half, part of the quote",
    "RlweParams.mask_bits": "a parameter of the scheme",
    "ReleasedTrees.leaves": "opened: the model is released",
    "ReleasedModel.coefficients": "opened: the model is released",
}


def package_classes() -> Iterator[type[Any]]:
    """Every class that a module of the package defines."""
    for found in pkgutil.walk_packages(hansa.__path__, "hansa."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        yield from (c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == found.name)


CLASSES = list(package_classes())


def words(name: str) -> set[str]:
    """The words of a name, written with underscores or capitals."""
    return set(re.findall(r"[a-z]+", re.sub(r"([A-Z])", r"_\1", name).lower()))


def must_hide(name: str, kind: str) -> bool:
    """Whether a printed field would show a secret, judged by its name and its type."""
    if re.search(ARRAY_TYPES, kind) and not kind.startswith("Callable"):
        return True
    return bool(words(name) & SECRET_WORDS) and re.search(RAW_TYPES, kind) is not None


def printed_fields() -> Iterator[tuple[type[Any], str, str]]:
    """Every field that a generated ``repr`` shows: its class, name and type as written."""
    for c in CLASSES:
        if dataclasses.is_dataclass(c):
            yield from ((c, field.name, str(field.type)) for field in dataclasses.fields(c) if field.repr)
        elif issubclass(c, tuple):
            yield from ((c, name, str(c.__annotations__[name])) for name in getattr(c, "_fields", ()))


def suspects() -> set[str]:
    """``Class.field`` of every field that prints and should not, were it not public."""
    return {f"{c.__name__}.{name}" for c, name, kind in printed_fields() if must_hide(name, kind)}


def test_every_secret_field_is_hidden_or_known_to_be_public() -> None:
    assert sum(dataclasses.is_dataclass(c) for c in CLASSES) > 150
    assert suspects() - set(PUBLIC) == set()


def test_what_is_called_public_is_there() -> None:
    assert set(PUBLIC) - suspects() == set()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("job_key", "bytes"),
        ("passphrase", "str | None"),
        ("route_token", "bytes"),
        ("psk", "bytes | None"),
        ("sealing_key", "Callable[[bytes], bytes]"),  # a partial prints its arguments
        ("values", "Ring"),
        ("rows", "tuple[NDArray[np.float64], ...]"),
    ],
)
def test_what_must_hide(name: str, kind: str) -> None:
    assert must_hide(name, kind)


@pytest.mark.parametrize(
    ("name", "kind"), [("pad", "Pad"), ("label", "Share"), ("keyboard", "str"), ("job_id", "bytes")]
)
def test_what_may_print(name: str, kind: str) -> None:
    assert not must_hide(name, kind)


SECRET = b"recognisable, of 32 bytes 012345"
SECRETS = {
    Start: ("job_secret", "sealing_key", "correlation_key", "model"),
    LinkTerms: ("job_secret",),
    JobRecord: ("job_secret", "offered_secret"),
    JobContext: ("signing_key", "sealing_key"),
}


def filled(kind: type[Any], secrets: tuple[str, ...]) -> Any:
    """An instance with the secret in these fields, and nothing of interest in the others."""
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):
        object.__setattr__(made, field.name, SECRET if field.name in secrets else None)
    return made


def texts(value: object) -> list[str]:
    return [repr(value), str(value), f"{value}", f"{value!r:>5}", repr([value])]


@pytest.mark.parametrize("kind", SECRETS, ids=lambda kind: kind.__name__)
def test_no_text_of_an_object_shows_its_secrets(kind: type[Any]) -> None:
    made = filled(kind, SECRETS[kind])
    assert all(getattr(made, name) == SECRET for name in SECRETS[kind])
    for text in texts(made):
        assert text.lstrip("[").startswith(kind.__name__)
        assert "recognisable" not in text
        assert SECRET.hex() not in text


def test_an_identity_shows_its_public_key_only() -> None:
    made = Identity.from_secrets(SECRET, SECRET, SECRET)
    for text in texts(made):
        assert "recognisable" not in text
        assert SECRET.hex() not in text
        assert repr(made.public) in text


@pytest.mark.parametrize(
    "made",
    [
        Share((np.array([0xDEADBEEF], np.uint64),)),
        Product((np.array([0xDEADBEEF], np.uint64),)),
        BitShare((np.array([[0xDEADBEEF]], np.uint64),), 64),
    ],
    ids=lambda made: type(made).__name__,
)
def test_a_share_shows_its_shape_only(made: object) -> None:
    for text in texts(made):
        assert str(0xDEADBEEF) not in text
        assert type(made).__name__ in text
