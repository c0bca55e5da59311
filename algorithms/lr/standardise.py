"""Standardisation, by each owner alone: (x - mean) / std over the training rows, clipped.

Clipping bounds what enters fixed point. It is part of the model: prediction and the plaintext reference clip alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hansa.protocols.arrays import Matrix

CLIP = 32.0
"""Standard deviations that a standardised value is clipped to."""


@dataclass(frozen=True, slots=True)
class Standardisation:
    """Mean and standard deviation of each column, (columns,) each; a constant column has std 1."""

    mean: Matrix = field(repr=False)
    std: Matrix = field(repr=False)

    @classmethod
    def fit(cls, features: Matrix) -> Standardisation:
        """From the training rows."""
        if features.shape[0] == 0:
            raise ValueError("no rows to standardise by")
        mean, std = features.mean(axis=0), features.std(axis=0)
        constant = std <= 1e-12 * np.maximum(1.0, np.abs(mean))
        return cls(mean, np.where(constant, 1.0, std))

    def apply(self, features: Matrix) -> Matrix:
        """Standardised and clipped; a constant column becomes 0."""
        return np.clip((features - self.mean) / self.std, -CLIP, CLIP)
