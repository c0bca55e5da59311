"""Metrics against scikit-learn, with ties; the curves as a picture."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hansa.algorithms import curves
from hansa.algorithms.metrics import evaluate, rates

# scores on a grid of 17 values: ties are the rule
grid = st.integers(0, 16).map(lambda n: n / 16)
cases = (
    st.integers(2, 60)
    .flatmap(
        lambda n: st.tuples(
            arrays(np.float64, n, elements=grid), arrays(np.float64, n, elements=st.sampled_from([0.0, 1.0]))
        )
    )
    .filter(lambda case: 0 < case[1].sum() < case[1].size)
)


@given(cases)
@settings(max_examples=30, deadline=None)
def test_against_scikit_learn(case):
    reference = pytest.importorskip("sklearn.metrics", reason="the extra 'demo' is not installed")
    score, label = case
    found = evaluate(label, score)
    false, true, _ = reference.roc_curve(label, score, drop_intermediate=False)
    assert found["auc"] == pytest.approx(reference.roc_auc_score(label, score), abs=1e-12)
    assert found["ks"] == pytest.approx(np.abs(true - false).max(), abs=1e-12)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(label, score >= 0.5))
    clipped = np.clip(score, 1e-6, 1 - 1e-6)
    assert found["log_loss"] == pytest.approx(reference.log_loss(label, clipped, labels=[0, 1]))
    np.testing.assert_allclose(rates(label, score), [false, true], atol=1e-12)


@given(cases)
@settings(max_examples=30, deadline=None)
def test_what_must_hold_for_any_scores(case):
    score, label = case
    found = evaluate(label, score)
    turned = evaluate(1 - label, score)
    assert found["auc"] + turned["auc"] == pytest.approx(1)
    assert found["ks"] == pytest.approx(turned["ks"])
    order = np.random.default_rng(1).permutation(score.size)
    assert evaluate(label[order], score[order]) == pytest.approx(found)
    assert evaluate(label, score**3)["auc"] == pytest.approx(found["auc"])


def test_the_ends():
    label = np.array([0.0, 0, 1, 1])
    perfect = evaluate(label, np.array([0.0, 0.1, 0.9, 1.0]))
    assert (perfect["auc"], perfect["ks"], perfect["accuracy"]) == (1, 1, 1)
    useless = evaluate(label, np.full(4, 0.5))
    assert (useless["auc"], useless["ks"], useless["accuracy"]) == (0.5, 0, 0.5)
    assert np.isfinite(evaluate(label, 1 - label)["log_loss"])


@pytest.mark.parametrize("rows", [2, 50, 5000])
def test_the_picture_is_one_small_svg(rows):
    rng = np.random.default_rng(3)
    label = (np.arange(rows) % 2).astype(np.float64)
    picture = curves.svg(label, np.clip(0.3 * label + 0.7 * rng.random(rows), 0, 1), "credit <default> & more")
    root = ET.fromstring(picture)
    assert root.tag.endswith("svg")
    assert "credit <default> & more" in "".join(root.itertext())
    assert f"KS = {evaluate(label, np.zeros(rows))['ks']:.4f}" not in picture
    assert picture.count("<polyline") == 5
    assert len(picture) < 40_000


def test_the_picture_of_ties_only():
    root = ET.fromstring(curves.svg(np.array([0.0, 1]), np.array([0.5, 0.5]), "flat"))
    assert {"ROC, AUC = 0.5000", "KS = 0.0000"} <= set(root.itertext())
