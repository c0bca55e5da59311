"""The same regression on pooled plaintext: the reference that the secret model is measured against.

Rows, split, batches, clipping and learning rate are those of fixed point. The sigmoid is the true one, in floating point.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hansa.algorithms.lr.standardise import Standardisation
from hansa.algorithms.lr.step_size import step_size
from hansa.algorithms.metrics import evaluate
from hansa.algorithms.split import batches, split_order
from hansa.config.params import Param
from hansa.protocols.arrays import Matrix


def sigmoid(z: Matrix) -> Matrix:
    """1 / (1 + exp(-z)) without overflow."""
    return np.where(z >= 0, 1 / (1 + np.exp(-np.abs(z))), np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))))


def train_and_test(
    features: Matrix, label: Matrix, *, seed: bytes, test_fraction: float, params: Mapping[str, Param]
) -> tuple[Matrix, dict[str, float]]:
    """Weights (standardised columns, then the intercept) and the test's metrics; rows in the common order."""
    order, train = split_order(seed, len(label), test_fraction)
    standardised = Standardisation.fit(features[order[:train]]).apply(features[order])
    x = np.hstack((standardised, np.ones((len(label), 1))))
    y = label[order]
    w = np.zeros(x.shape[1])
    decayed = np.ones_like(w)
    decayed[-1] = 0
    for epoch in range(int(params["epochs"])):
        for rows in batches(seed, epoch, train, int(params["batch_size"])):
            step = step_size(float(params["learning_rate"]), float(params["l2"]), rows.stop - rows.start, train)
            residual = sigmoid(x[rows] @ w) - y[rows]
            w = w - step.rate * (x[rows].T @ residual) - step.decay_rate * decayed * w
    return w, evaluate(y[train:], sigmoid(x[train:] @ w)) if train < len(label) else {}
