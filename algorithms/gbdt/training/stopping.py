"""Early stopping by the loss on rows held out. Opened after each round: one bit, whether training stops."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hansa.algorithms import leakage
from hansa.algorithms.gbdt.bins import Bins
from hansa.algorithms.gbdt.losses import mean_loss
from hansa.algorithms.gbdt.objectives import Objective
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.operators.arithmetic import integer_product
from hansa.protocols.mpc.shares import Share, concatenate


@dataclass(slots=True)
class Watch:
    """The rows held out, and how their loss has gone.

    ``bins``: this party's own of these rows; ``label`` and ``margins`` (groups, rows). ``best`` (1,): the least loss so far;
    ``since`` (1,): rounds since then. Training stops once ``since`` reaches ``patience``.
    """

    bins: Bins = field(repr=False)
    label: Share
    metric: str
    patience: int
    margins: Share
    best: Share
    since: Share

    async def stops(self, e: Engine, objective: Objective) -> bool:
        """Take in the loss of one more round, and open whether training stops.

        Rounds and bytes: ``mean_loss``, two comparisons of one number, ``b2a``, an integer product and an opening.
        """
        now = await mean_loss(e, objective, self.metric, self.margins, self.label)
        better = await e.b2a(await e.less(now, self.best))
        waited = e.add_public(self.since, 1)
        # If the loss is better, ``best`` moves to it and ``since`` returns to 0; else both keep their course.
        change = await integer_product(e, concatenate((better, better)), concatenate((now - self.best, waited)))
        self.best += change[:1]
        self.since = waited - change[1:]
        patience = e.public(np.full(1, self.patience, dtype=np.uint64))
        goes_on = await e.b2a(await e.less(self.since, patience))
        (opened,) = await e.open(goes_on, what=leakage.STOP)
        return not bool(opened[0])
