"""The contract of a preprocessing job: which parties make how many elements of each kind of correlation ahead."""

from __future__ import annotations

from collections.abc import Mapping

from hansa.config.params import PARAMS, Whole
from hansa.config.vocabulary import PREPROCESSING
from hansa.node.contracts.build import new_contract
from hansa.node.errors import UsageError
from hansa.protocols.mpc.additive.stored.kinds import STORED_KINDS
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Align, Limits, Outputs, Party

EXPIRES_S = 3600


def preprocessing_contract(names: Mapping[bytes, str], amounts: Mapping[str, int], *, now: int) -> Contract:
    """The contract to make so many elements of each kind among parties, identities to names in rank order.

    Raises UsageError where an amount is none, or all are zero.
    """
    for kind, amount in amounts.items():
        param = PARAMS[PREPROCESSING].get(kind)
        most = param.most if isinstance(param, Whole) else 0
        if not isinstance(amount, int) or not 0 <= amount <= most:
            raise UsageError(
                f"'{kind}' must be a number from 0 to {most:,.0f}", remedy="hansa correlations make --help"
            )
    if not any(amounts.values()):
        raise UsageError("there is nothing to make", remedy="say how many: `hansa correlations make --help`")
    return new_contract(
        now=now,
        expires_in_s=EXPIRES_S,
        kind=PREPROCESSING,
        name=PREPROCESSING,
        purpose="random numbers made ahead, for later jobs of these parties",
        parties=tuple(Party(identity, name, "", bytes(32), (), None) for identity, name in names.items()),
        align=Align("exact"),
        algorithm=PREPROCESSING,
        params={kind: amounts.get(kind, 0) for kind in STORED_KINDS},
        test_fraction=0.0,
        engine="additive",
        outputs=Outputs("none", "owner", "label-owner"),
        model=None,
        openings=(),
        limits=Limits(1),
    )
