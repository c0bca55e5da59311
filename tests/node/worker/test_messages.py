import msgpack
import pytest

from hansa.node.worker.messages import TAGS, Attested, Broke, Finished, Opened, Route, Start, Stepped, decode, encode
from hansa.protocols.errors import ProtocolError

MESSAGES = [
    Start(
        contract=b"contract",
        certificate=b"certificate",
        attempt=2,
        me=b"m" * 32,
        job_secret=b"s" * 32,
        sealing_key=b"k" * 32,
        addresses={b"p" * 32: ["127.0.0.1:9000"]},
        suites=["AESGCM_SHA256"],
        dataset={"path": "/tmp/x.csv", "key": ["id"]},
        folder="/tmp",
        scores_file="",
        released_file="",
        model=b"",
        resume_epoch=-1,
        correlation_store="/tmp/correlations",
        correlation_key=b"c" * 32,
        tee={"backend": "auto", "collateral": []},
        release_policy=b"policy",
    ),
    Route(b"HNSA"),
    Stepped("train", 1, 10, 100, 2**40, 1500),
    Opened("metrics", [0, 2], 4),
    Attested(b"e" * 32, "dealer", {"verdict": "accept", "reasons": []}),
    Finished({"rows": 10, "metrics": None}, b"sealed"),
    Broke(1, b"c" * 32, "read", {"code": "data"}),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_message_survives(message):
    assert decode(encode(message)) == message


def test_the_vocabulary_is_covered():
    assert {type(message) for message in MESSAGES} == set(TAGS.values())


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", msgpack.packb(["Unknown"]), msgpack.packb(["route"]), msgpack.packb(["route", b"", 2]), b"\x05"],
)
def test_anything_else_is_refused(body):
    with pytest.raises(ProtocolError, match="same language"):
        decode(body)


def test_no_message_has_a_place_for_the_identity_key():
    names = {name for kind in TAGS.values() for name in kind.__slots__}
    assert not any("identity" in name or "static" in name or "signing" in name for name in names)
