"""Logistic regression as the learner of a job: prepared matrices, training, scores, weights and the released model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms import leakage
from hansa.algorithms.learner import Save, SharedScores, Step
from hansa.algorithms.lr import sgd
from hansa.algorithms.lr.model import PartyModel, ReleasedModel
from hansa.algorithms.lr.standardise import Standardisation
from hansa.algorithms.lr.step_size import refuse_diverged
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.terms import Terms
from hansa.config.vocabulary import FRAC_BITS
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.shares import Share


class LrLearner:
    """One training; see ``learner.Learner``."""

    def __init__(self, e: Engine, terms: Terms) -> None:
        self._e, self._terms = e, terms
        self._weights: NDArray[np.float64] | None = None

    task = "binary"

    async def prepare(self, table: PartyTable, train_rows: int) -> int:
        """Standardise by the rows to train on, hand the matrix to the engine, and share the label."""
        features, label = table.features, table.label
        self._train_rows, self._rows = train_rows, len(features)
        self._standardisation = Standardisation.fit(features[:train_rows])
        self._blocks = await sgd.prepare_blocks(
            self._e, self._terms, self._standardisation.apply(features), len(features)
        )
        values = None if label is None else encode(label[:train_rows], FRAC_BITS)
        self._label = await self._e.input(self._terms.label_rank, values, (train_rows,))
        return train_rows * int(self._terms.params["epochs"])

    async def train(self, start: tuple[int, bytes] | None, save: Save, step: Step) -> None:
        """All epochs; see ``sgd.train``."""
        e = self._e
        self._w = await sgd.train(
            e,
            self._terms,
            self._blocks,
            self._label,
            start=None if start is None else (start[0], e.share_from_state(start[1])),
            after_epoch=lambda epoch, now: save(epoch, e.share_state(now)),
            after_batch=step.advance,
        )

    async def test_scores(self) -> SharedScores:
        """Probabilities of the rows held out."""
        return _probabilities(await sgd.scores(self._e, self._blocks, self._w, slice(self._train_rows, self._rows)))

    async def outputs(self, columns: tuple[str, ...]) -> PartyModel:
        """Open the weights as the contract says. Raises ``DataError`` where the training diverged."""
        e, terms = self._e, self._terms
        self._weights = await _open_weights(e, terms, self._blocks, self._w)
        opened = _by_name(e.session.rank, terms, self._blocks, columns, self._weights)
        refuse_diverged(opened)
        return PartyModel(e.name, columns, e.share_state(self._w), self._standardisation, opened)

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """What ``outputs`` opened to this party."""
        return self._weights


async def scores(e: Engine, terms: Terms, model: PartyModel, table: PartyTable) -> SharedScores:
    """Probabilities of new rows."""
    rows = len(table.features)
    blocks = await sgd.prepare_blocks(e, terms, model.standardisation.apply(table.features), rows)
    return _probabilities(await sgd.scores(e, blocks, e.share_from_state(model.weights), slice(0, rows)))


def _probabilities(shared: Share) -> SharedScores:
    return SharedScores(shared, lambda opened: np.clip(opened, 0.0, 1.0))


async def release(e: Engine, terms: Terms, model: PartyModel, step: Step) -> ReleasedModel:
    """Open the model to all. Each owner learns the weights of its columns, and sends all the coefficients in their own units.

    What each owner's means add to the intercept is shared, and only the sum is opened. The leakage statement says what can
    be told from it.
    """
    s = e.session
    where = sgd.places(terms)
    w = e.share_from_state(model.weights)
    with step("open"):
        own = None
        for rank, place in enumerate(where):
            columns = slice(place.start, place.start + terms.columns[rank])
            got = await e.open_to(rank, w[columns], what=leakage.weights_of(rank))
            own = decode(got[0], FRAC_BITS) if got is not None else own
        weights = np.zeros(0) if own is None else own
    with step("release"):
        coefficients = weights / model.standardisation.std
        everyone = tuple(range(s.n_parties))
        s.declare_opening(leakage.COEFFICIENTS, everyone, sum(terms.columns))
        for peer in s.peers:
            await s.send(peer, coefficients)
        all_of_them = [
            coefficients if rank == s.rank else await _hear_coefficients(e, terms, rank) for rank in range(s.n_parties)
        ]
        end = where[terms.label_rank].stop
        total = w[slice(end - 1, end)]
        for rank in range(s.n_parties):
            mine = encode(np.array([-float(coefficients @ model.standardisation.mean)]), FRAC_BITS)
            total += await e.input(rank, mine if rank == s.rank else None, (1,))
        intercept = (await e.open(total, what=leakage.INTERCEPT))[0]
    return ReleasedModel(
        tuple(zip(terms.names, terms.column_names, strict=True)),
        np.concatenate(all_of_them),
        float(decode(intercept, FRAC_BITS)[0]),
    )


async def _hear_coefficients(e: Engine, terms: Terms, rank: int) -> NDArray[np.float64]:
    told: NDArray[np.float64] = await e.session.recv(rank, np.float64, terms.columns[rank])
    if not np.all(np.isfinite(told)):
        raise PeerMisbehaved(
            f"{terms.names[rank]} sent coefficients that are no numbers",
            remedy="check that all parties run the same version of hansa",
            peer=rank,
            step="release",
        )
    return told


async def _open_weights(e: Engine, terms: Terms, blocks: sgd.Blocks, w: Share) -> NDArray[np.float64] | None:
    if terms.weights == "all":
        return decode((await e.open(w, what=leakage.WEIGHTS))[0], FRAC_BITS)
    mine = None
    for rank, place in enumerate(blocks.places):
        got = await e.open_to(rank, w[place], what=leakage.weights_of(rank))
        mine = decode(got[0], FRAC_BITS) if got is not None else mine
    return mine


def _by_name(
    rank: int, terms: Terms, blocks: sgd.Blocks, columns: tuple[str, ...], weights: NDArray[np.float64] | None
) -> dict[str, float]:
    if weights is None:
        return {}
    own = weights[blocks.places[rank]] if terms.weights == "all" else weights
    named = dict(zip(columns, own[: len(columns)].tolist(), strict=True))
    if rank == terms.label_rank:
        named["intercept"] = float(own[-1])
    return named
