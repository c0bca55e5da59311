"""What the demo compares the league with: the same training on pooled plaintext, and by the label's owner alone.

Only the demo can compute it, because it owns all files; it is marked so wherever it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.algorithms.plaintext import train_and_test
from hansa.config.jobfile import JobFile
from hansa.node.data.table import load_table
from hansa.protocols.psi.ddh import in_common_order


@dataclass(frozen=True, slots=True)
class Reference:
    """Metrics on the same test rows."""

    alone: dict[str, float]
    pooled: dict[str, float]
    rows: int


def reference(job: JobFile, specs: list[dict[str, Any]], seed: bytes) -> Reference:
    """``specs`` describe each party's table as its worker reads it, the label's owner first; ``seed`` is the job's."""
    loaded = [load_table(spec) for spec in specs]
    places = [{key: row for row, key in enumerate(table.keys)} for table in loaded]
    common = [key for key in loaded[0].keys if all(key in place for place in places)]
    keys = [common[i] for i in in_common_order(common, seed)]
    parts = [table.features[[place[key] for key in keys]] for table, place in zip(loaded, places, strict=True)]
    label = loaded[0].label
    if label is None:
        raise ValueError("the first table has no label")
    y = label[[places[0][key] for key in keys]]
    options: dict[str, Any] = {"seed": seed, "test_fraction": job.split.test, "params": job.params}
    _, alone = train_and_test(parts[0], y, **options)
    _, pooled = train_and_test(np.hstack(parts), y, **options)
    return Reference(alone, pooled, len(keys))
