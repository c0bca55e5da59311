"""The parameters of algorithms: what a job file may say, and which values do not fit each other."""

import pytest

from hansa.config.errors import ConfigError
from hansa.config.jobfile import parse
from hansa.config.params import PARAMS, Choice, Flag, Whole, label_kind, misfit

HEAD = 'name = "n"\npurpose = "p"\nalgorithm = "gbdt"\n'
PARTY = '[[party]]\nname = "bank"\ndataset = "clients"\nlabel = "default"\n'
FIRST = {
    "n_estimators": 20,
    "max_depth": 3,
    "learning_rate": 0.3,
    "reg_lambda": 1.0,
    "gamma": 0.0,
    "min_child_weight": 1.0,
    "max_bin": 16,
}


def params(lines=""):
    return parse(f"{HEAD}[gbdt]\n{lines}\n{PARTY}", "job.toml").params


def test_what_is_not_written_is_left_out_unless_every_contract_states_it():
    assert params() == FIRST
    assert params('objective = "binary:logistic"\nsubsample = 1\nmissing = false') == FIRST


def test_everything_written_is_there_in_its_type():
    read = params(
        'objective = "multi:softprob"\nnum_class = 3\nreg_alpha = 1\nsubsample = 0.8\ncolsample_bytree = 0.5\n'
        "base_score = 0\nmissing = true\nmax_cat_to_onehot = 1\nearly_stopping_rounds = 20\nvalidation_fraction = 0.5\n"
        'eval_metric = "logloss"'
    )
    assert read == FIRST | {
        "objective": "multi:softprob",
        "num_class": 3,
        "reg_alpha": 1.0,
        "subsample": 0.8,
        "colsample_bytree": 0.5,
        "base_score": 0.0,
        "missing": True,
        "max_cat_to_onehot": 1,
        "early_stopping_rounds": 20,
        "validation_fraction": 0.5,
        "eval_metric": "logloss",
    }
    assert isinstance(read["base_score"], float)
    assert isinstance(read["reg_alpha"], float)


def test_every_default_is_in_its_bounds_and_fits():
    for algorithm, kinds in PARAMS.items():
        for name, kind in kinds.items():
            if isinstance(kind, Choice):
                assert kind.default in kind.choices, name
            elif not isinstance(kind, Flag) and kind.default is not None:
                assert kind.least <= kind.default <= kind.most, name
                assert isinstance(kind.default, int if isinstance(kind, Whole) else float)
        assert misfit(algorithm, {}) is None


@pytest.mark.parametrize(
    ("objective", "kind"),
    [
        ("binary:logistic", "binary"),
        ("reg:squarederror", "real"),
        ("multi:softprob", "classes"),
        ("count:poisson", "count"),
    ],
)
def test_the_label_that_an_objective_takes(objective, kind):
    assert label_kind("gbdt", {"objective": objective}) == kind
    assert label_kind("gbdt", {}) == label_kind("lr", {}) == "binary"


SOFTMAX = 'objective = "multi:softprob"\nnum_class = 3'
SQUARES = 'objective = "reg:squarederror"'
POISSON = 'objective = "count:poisson"'


@pytest.mark.parametrize(
    ("lines", "line", "why"),
    [
        ('objective = "multi:softmax"', 5, r"gbdt\.objective must be one of .*did you mean 'multi:softprob'"),
        ('objective = "multi:softprob"', 4, r"gbdt\.num_class must be from 2 to 32 with multi:softprob"),
        ('objective = "multi:softprob"\nnum_class = 1', 6, r"gbdt\.num_class must be from 2 to 32"),
        ("num_class = 2", 5, r"gbdt\.num_class goes with the objective multi:softprob only"),
        ("num_class = 33", 5, r"gbdt\.num_class must be an integer from 0 to 32"),
        ("base_score = 0.009", 5, r"gbdt\.base_score must be a probability from 0\.01 to 0\.99 with binary:logistic"),
        ("base_score = 0.991", 5, r"gbdt\.base_score must be a probability"),
        ("base_score = -2e9", 5, r"gbdt\.base_score must be a number from -1e\+09 to 1e\+09"),
        (POISSON + "\nbase_score = 0", 6, r"gbdt\.base_score must be above 0 with count:poisson"),
        (SQUARES + "\nscale_pos_weight = 2", 6, r"gbdt\.scale_pos_weight goes with the objective binary:logistic only"),
        ("scale_pos_weight = 129", 5, r"gbdt\.scale_pos_weight must be a number from 0\.001 to 128"),
        (SQUARES + '\neval_metric = "auc"', 6, r"gbdt\.eval_metric is 'auc', which goes with binary:logistic only"),
        (SOFTMAX + '\neval_metric = "auc"', 7, r"gbdt\.eval_metric is 'auc'"),
        (
            SQUARES + '\neval_metric = "logloss"',
            6,
            r"gbdt\.eval_metric is 'logloss', which goes with binary:logistic and multi:softprob only",
        ),
        ('eval_metric = "rmse"', 5, r"'rmse', which goes with reg:squarederror and count:poisson only"),
        ('eval_metric = "mae"', 5, r"gbdt\.eval_metric must be one of auto, auc, logloss, rmse"),
        ("early_stopping_rounds = 21", 5, r"gbdt\.early_stopping_rounds is 21, more than the 20 trees of n_estimators"),
        ("missing = 1", 5, r"gbdt\.missing must be true or false"),
        ('missing = "true"', 5, r"gbdt\.missing must be true or false"),
        ("subsample = 0.04", 5, r"gbdt\.subsample must be a number from 0\.05 to 1"),
        ("colsample_bytree = 0", 5, r"gbdt\.colsample_bytree must be a number from 0\.01 to 1"),
        ("reg_alpha = -1", 5, r"gbdt\.reg_alpha must be a number from 0 to 1000"),
        ("max_cat_to_onehot = 0", 5, r"gbdt\.max_cat_to_onehot must be an integer from 1 to 255"),
        ("validation_fraction = 0.6", 5, r"gbdt\.validation_fraction must be a number from 0\.01 to 0\.5"),
        ("base_scor = 0.5", 5, r"gbdt\.base_scor .*did you mean 'base_score'"),
    ],
)
def test_what_is_wrong_is_named(lines, line, why):
    with pytest.raises(ConfigError, match=why) as caught:
        params(lines)
    assert caught.value.fields["line"] == line


@pytest.mark.parametrize(
    "lines",
    [
        "base_score = 0.01",
        "base_score = 0.99",
        "scale_pos_weight = 128",
        'eval_metric = "auc"\nearly_stopping_rounds = 20',
        SQUARES + '\nbase_score = -1e9\neval_metric = "rmse"',
        POISSON + '\nbase_score = 0.001\neval_metric = "rmse"',
        SOFTMAX + '\neval_metric = "logloss"',
    ],
)
def test_the_edge_of_what_fits_is_accepted(lines):
    assert params(lines)
