"""Boosted trees as a job's learner: bins, training from a checkpoint, scores, and the released model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms import leakage
from hansa.algorithms.gbdt import boost
from hansa.algorithms.gbdt.bins import Cuts
from hansa.algorithms.gbdt.model import ReleasedTrees, SavedTree, TreeModel
from hansa.algorithms.gbdt.params import Params
from hansa.algorithms.gbdt.tree import Tree, table_of
from hansa.algorithms.learner import Save, Step
from hansa.algorithms.terms import Terms
from hansa.config.vocabulary import FRAC_BITS
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.shares import Share
from hansa.protocols.wire import canonical

Matrix = NDArray[np.float64]
_MAX_STATE = 1 << 31


def params_of(terms: Terms) -> Params:
    """The contract's parameters."""
    return Params(**terms.params)  # type: ignore[arg-type]  # the contract has checked types and bounds


class TreeLearner:
    """One training; see ``learner.Learner``."""

    weights = None

    def __init__(self, e: Engine, terms: Terms) -> None:
        self._e, self._terms, self._params = e, terms, params_of(terms)
        self._trees: list[Tree] = []

    async def prepare(self, features: Matrix, label: NDArray[np.float64] | None, train_rows: int) -> int:
        """Cut columns into bins by the training rows, prepare these, and share the label."""
        e, params = self._e, self._params
        self._cuts = Cuts.fit(features[:train_rows], params.max_bin)
        bins = self._cuts.apply(features)
        self._held_out = np.ascontiguousarray(bins[train_rows:])
        self._table = await table_of(e, np.ascontiguousarray(bins[:train_rows]), self._terms.columns, params.max_bin)
        values = None if label is None else encode(label[:train_rows], FRAC_BITS)
        self._label = await e.input(self._terms.label_rank, values, (train_rows,))
        return params.n_estimators

    async def train(self, start: tuple[int, bytes] | None, save: Save, step: Step) -> None:
        """All trees; the state after each is the margins and the trees so far."""
        e = self._e
        margins, done = None, list[Tree]()
        if start is not None:
            state, plain = canonical.decode_untrusted(start[1], _MAX_STATE)
            margins = e.share_from_state(state)
            done = [loaded(e, SavedTree.from_plain(tree)) for tree in plain]

        def after(trees: Sequence[Tree], now: Share) -> None:
            state = canonical.encode([e.share_state(now), [saved(e, tree).to_plain() for tree in trees]])
            save(len(trees), state)
            step.advance(len(trees))

        self._trees, _ = await boost.train(
            e, self._table, self._label, self._params, after_tree=after, start=(done, margins)
        )

    async def test_scores(self) -> Share:
        """Probabilities of the rows held out."""
        return await _probabilities(self._e, self._trees, self._held_out, self._params.base_score)

    async def outputs(self, columns: tuple[str, ...]) -> TreeModel:
        """This party's part of the model; nothing more is opened."""
        trees = tuple(saved(self._e, tree) for tree in self._trees)
        return TreeModel(self._e.name, columns, self._cuts, self._params.base_score, trees)


def saved(e: Engine, tree: Tree) -> SavedTree:
    """A tree as it is stored."""
    return SavedTree(tree.owners, tree.splits, e.share_state(tree.leaves))


def loaded(e: Engine, tree: SavedTree) -> Tree:
    """A stored tree again."""
    return Tree(tree.owners, tree.splits, e.share_from_state(tree.leaves))


async def scores(e: Engine, model: TreeModel, features: Matrix) -> Share:
    """Probabilities of new rows."""
    trees = [loaded(e, tree) for tree in model.trees]
    return await _probabilities(e, trees, model.cuts.apply(features), model.base_score)


async def _probabilities(e: Engine, trees: Sequence[Tree], own: NDArray[np.uint8], base_score: float) -> Share:
    return await e.sigmoid(await boost.predict(e, trees, own, base_score), FRAC_BITS)


async def release(e: Engine, terms: Terms, model: TreeModel, step: Step) -> ReleasedTrees:
    """Open the model to all: every owner tells the columns and cuts of its nodes, and the leaves are opened.

    Raises ``PeerMisbehaved`` for nodes that are not a party's, or cuts that are no numbers.
    """
    s, everyone = e.session, tuple(range(e.session.n_parties))
    owners = np.array([tree.owners for tree in model.trees], dtype=np.int64)
    with step("open"):
        shares = [e.share_from_state(tree.leaves) for tree in model.trees]
        leaves = [decode(opened, FRAC_BITS) for opened in await e.open(*shares, what=leakage.LEAVES)]
    with step("release"):
        s.declare_opening(leakage.RELEASED_SPLITS, everyone, int(owners.size))
        mine = np.array(
            [
                (column, model.cuts.threshold(column, cut))
                for tree in model.trees
                for _, (column, cut) in sorted(tree.splits.items())
            ],
            dtype=np.float64,
        ).reshape(-1, 2)
        for peer in s.peers:
            await s.send(peer, mine)
        table = np.empty((*owners.shape, 2))
        for rank in everyone:
            count = int(np.count_nonzero(owners == rank))
            told = mine if rank == s.rank else (await s.recv(rank, np.float64, 2 * count)).reshape(count, 2)
            if not np.all((told[:, 0] >= 0) & (told[:, 0] < terms.columns[rank]) & ~np.isnan(told[:, 1])):
                raise PeerMisbehaved(
                    f"{terms.names[rank]} sent splits that are none of its columns'",
                    remedy="check that all parties run the same version of hansa",
                    peer=rank,
                    step="release",
                )
            table[owners == rank] = told + np.array([sum(terms.columns[:rank]), 0])
    splits = tuple(tuple((int(column), float(cut)) for column, cut in tree) for tree in table.tolist())
    return ReleasedTrees(
        tuple(zip(terms.names, terms.column_names, strict=True)), model.base_score, splits, tuple(leaves)
    )
