"""Early stopping: a loss on rows held out, of which only "it is time to stop" is opened after each round."""

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
    """The rows held out: this party's ``bins`` of them, ``label`` and ``margins`` (groups, rows); the least loss so far and
    how many rounds ago it was, (1,) each. Stops once that is ``patience``."""

    bins: Bins = field(repr=False)
    label: Share
    metric: str
    patience: int
    margins: Share
    best: Share
    since: Share

    async def stops(self, e: Engine, objective: Objective) -> bool:
        """Whether ``patience`` rounds have passed without a loss below the least one; opens just that.

        Rounds and bytes: ``mean_loss``, two comparisons of one number, ``b2a``, an integer product and an opening.
        """
        now = await mean_loss(e, objective, self.metric, self.margins, self.label)
        better = await e.b2a(await e.less(now, self.best))
        waited = e.add_public(self.since, 1)
        gone = await integer_product(e, concatenate((better, better)), concatenate((now - self.best, waited)))
        self.best += gone[:1]
        self.since = waited - gone[1:]
        patience = e.public(np.full(1, self.patience, dtype=np.uint64))
        enough = await e.b2a(await e.less(self.since, patience))
        (going,) = await e.open(enough, what=leakage.STOP)
        return not bool(going[0])
