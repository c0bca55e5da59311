"""The parameters of boosting are those of a job file."""

from dataclasses import asdict

from hansa.algorithms.gbdt.params import TreeParams
from hansa.config.params import PARAMS


def test_a_contract_that_leaves_a_parameter_out_means_its_default() -> None:
    assert asdict(TreeParams()) == {name: kind.default for name, kind in PARAMS["gbdt"].items()}
