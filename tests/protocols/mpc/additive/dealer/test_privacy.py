"""What a party receives, and what is opened under masks, tells it nothing of the inputs; and the tests can fail.

Both are bytes. One-sample: against uniform bytes (255 degrees of freedom: mean 255, deviation 22.6). Two-sample: the
bytes for one input against those for another, the same distribution under every input. 500 is eleven deviations away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.additive import INPUTS
from support.engines import dealt_party
from support.statistics import UNIFORM, chi_square, chi_square_of_two
from support.taps import PayloadTap

from hansa.protocols.mpc.additive.dealer.correlations import DealerCorrelations
from hansa.protocols.mpc.additive.dealer.engine import DealerEngine
from hansa.protocols.mpc.additive.dealer.matrices import AdditiveMatrix
from hansa.protocols.mpc.additive.engine import AdditiveEngine
from hansa.protocols.mpc.fixed_point import encode
from hansa.protocols.mpc.session.memory import network, parties, run_parties

PARTIES = 3


class Watched(DealerEngine):
    """Keeps what is opened under masks."""

    opened: list[bytes]

    async def _merged(self, operations: Any, parts: Any) -> Any:
        merged = await super()._merged(operations, parts)
        self.opened += [part.tobytes() for part in merged]
        return merged


async def insecure_zero_masks(self: DealerCorrelations, n: int, *_: Any) -> Any:
    zero = np.zeros(n, dtype=np.uint64)
    return zero, zero, zero


async def insecure_zero_comparison_masks(self: DealerCorrelations, n: int) -> Any:
    return np.zeros(n, dtype=np.uint64), np.zeros((241, (n + 63) // 64), dtype=np.uint64)


async def insecure_private_matrix(e: AdditiveEngine, owner: int, values: Any, shape: Any) -> AdditiveMatrix:
    pad = await e.correlations.pad(owner, shape)
    if e.rank == owner:
        await e.session.exchange(dict.fromkeys(e.session.peers, [values]), {})
        return AdditiveMatrix(owner, shape, pad, values)
    return AdditiveMatrix(owner, shape, pad, (await e.session.exchange({}, {owner: [shape]}))[owner][0])


def work(operation: str, values: np.ndarray) -> Any:
    async def protocol(e: AdditiveEngine) -> list[bytes]:
        e.__class__ = Watched
        assert isinstance(e, Watched)
        e.opened = []
        x = await e.input(0, encode(values, 18) if e.rank == 0 else None, values.shape)
        match operation:
            case "mul":
                await e.mul(x, x)
            case "truncate":
                await e.truncate(x, 9)
            case "less":
                await e.b2a(await e.less(x, x.times(2)))
            case "sigmoid":
                await e.sigmoid(x, 18)
            case "matrix":
                table = encode(values, 18).reshape(-1, 8)
                matrix = await e.private_matrix(0, table if e.rank == 0 else None, table.shape)
                await e.private_linear_t([matrix], [x[: len(table)]], slice(0, len(table)))
            case "bins":
                bins = np.abs(values).astype(np.uint8).reshape(-1, 4) % 4
                prepared = await e.private_bins(1, bins if e.rank == 1 else None, bins.shape, 4)
                v = await e.input(0, encode(values[: len(bins)], 8) if e.rank == 0 else None, (len(bins),))
                await e.select_sum([prepared], v.reshape(1, len(bins)), 21)
        return e.opened

    return protocol


async def views(operation: str, values: np.ndarray) -> tuple[list[bytes], bytes]:
    """All payload that each party receives, and what is opened under masks."""
    heard: list[list[bytes]] = [[] for _ in range(PARTIES + 1)]
    ends = [
        {peer: PayloadTap(link, heard[rank]) for peer, link in links.items()}
        for rank, links in enumerate(network(PARTIES + 1))
    ]
    async with parties(PARTIES + 1, links=ends) as sessions:
        opened = await run_parties(sessions, lambda s: dealt_party(s, work(operation, values)))
    return [b"".join(messages) for messages in heard], b"".join(opened[0])


OPERATIONS = ["mul", "truncate", "less", "sigmoid", "matrix", "bins"]


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_is_received_and_opened_is_uniform_whatever_the_inputs(operation: str) -> None:
    samples: list[list[bytes]] = []
    for values in INPUTS.values():
        received, opened = await views(operation, values)
        assert received[PARTIES] == b""  # the dealer hears no data
        samples.append([data for data in [*received, opened] if data])
        assert all(chi_square(data) < UNIFORM for data in samples[-1])
    for other in samples[1:]:
        for one, two in zip(samples[0], other, strict=True):
            assert len(one) == len(two)
            assert chi_square_of_two(one, two) < UNIFORM


@pytest.mark.parametrize("operation", ["mul", "truncate", "less", "matrix"])
async def test_a_leaky_engine_is_caught(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without masks what is opened is the input; each summand alone still looks uniform, so openings are watched too."""
    monkeypatch.setattr(DealerCorrelations, "triples", insecure_zero_masks)
    monkeypatch.setattr(DealerCorrelations, "truncation_masks", insecure_zero_masks)
    monkeypatch.setattr(DealerCorrelations, "comparison_masks", insecure_zero_comparison_masks)
    monkeypatch.setattr(DealerEngine, "private_matrix", insecure_private_matrix)
    (heard, opened), (heard_of_zeros, opened_of_zeros) = [
        await views(operation, INPUTS[name]) for name in ("equal", "zeros")
    ]
    caught = heard[1] if operation == "matrix" else opened
    reference = heard_of_zeros[1] if operation == "matrix" else opened_of_zeros
    assert chi_square(caught) > UNIFORM
    assert chi_square_of_two(caught, reference) > UNIFORM


async def test_two_runs_draw_fresh_randomness() -> None:
    (first, opened), (second, reopened) = [await views("mul", INPUTS["equal"]) for _ in range(2)]
    assert all(a != b for a, b in zip(first, second, strict=True) if a)
    assert opened != reopened
