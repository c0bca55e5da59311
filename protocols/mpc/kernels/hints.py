"""The hint of hinted aggregation: per bin, the sum of rows of negacyclic matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels.jit import kernel


@kernel
def add_rows(hint: Ring, bins: NDArray[np.uint8], a: Ring) -> None:
    """hint[j, bins[i, j]] += row i of the negacyclic matrix of the polynomial a, for (columns, n_bins, m), at most m rows.

    Row i of that matrix is what the product with a vector of coefficients has at place i: a window of (reversed a, -reversed a).
    """
    m = a.size
    both = np.empty(2 * m, dtype=np.uint64)
    for k in range(m):
        both[k] = a[m - 1 - k]
        both[m + k] = np.uint64(0) - a[m - 1 - k]
    for i in range(bins.shape[0]):
        row = both[m - 1 - i : 2 * m - 1 - i]
        for j in range(bins.shape[1]):
            total = hint[j, bins[i, j]]
            for k in range(m):
                total[k] += row[k]
