"""What a node finds wrong with the columns of a contract, before anybody is asked."""

import dataclasses

import pytest

from hansa.node.contracts.explain import openings_of
from hansa.node.jobs.record import JobRecord, JobState
from hansa.node.jobs.review import reason_to_refuse
from hansa.protocols.wire.consent.contract import VERSION
from hansa.protocols.wire.consent.terms import Outputs

PARAMS = {
    "n_estimators": 2,
    "max_depth": 2,
    "learning_rate": 0.3,
    "reg_lambda": 1.0,
    "gamma": 0.0,
    "min_child_weight": 1.0,
    "max_bin": 8,
}
OUTPUTS = Outputs("label-owner", "owner", "all", "owner")


def trees(league, rank, *, kind="train", model=None, params=None, **changes):
    parties = list(league.contract().parties)
    parties[rank] = dataclasses.replace(parties[rank], **changes)
    params = params or PARAMS
    return league.contract(
        version=VERSION,
        kind=kind,
        model=model,
        algorithm="gbdt",
        params=params,
        outputs=OUTPUTS,
        parties=tuple(parties),
        openings=openings_of(kind, "gbdt", OUTPUTS, parties, params),
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"weight": "income", "columns": ("age",)}, None),
        ({"categorical": ("city", "age"), "columns": ("age", "city")}, None),
        ({"columns": ("age", "city")}, "has no number column 'city'"),
        ({"columns": ("town",), "categorical": ("town",)}, "has no column 'town'"),
        ({"weight": "w"}, "has no column 'w'"),
        ({"weight": "city"}, "has no number column 'city'"),
        (
            {"label": "age", "columns": ("income",), "weight": "default"},
            "uses the label of the dataset 'clients' as a feature",
        ),
        ({"columns": ("id",), "categorical": ("id",)}, "uses a key of the dataset 'clients' as a feature or weight"),
    ],
)
async def test_columns_categories_and_weights(autojump_clock, league_of, changes, why):
    async with league_of() as league:
        found = reason_to_refuse(trees(league, 0, **changes), league.jobs[0].context, lambda _: None, 0)
        assert found is None if why is None else why in found


async def test_a_model_is_used_as_it_was_trained(autojump_clock, league_of):
    async with league_of() as league:
        context, fields = league.jobs[1].context, {"categorical": ("city",), "columns": ("age", "city")}
        record = JobRecord(trees(league, 1, **fields).encode(), league.identities[0], league.now())
        record.state = JobState.DONE
        used = {"kind": "predict", "model": record.job_id}
        assert reason_to_refuse(trees(league, 1, **used, **fields), context, lambda _: record, 0) is None
        for other in (
            trees(league, 1, **used, columns=("age", "city"), categorical=("age", "city")),
            trees(league, 1, **used, **fields, params=PARAMS | {"missing": True}),
        ):
            assert "does not fit the contract under which" in reason_to_refuse(other, context, lambda _: record, 0)
