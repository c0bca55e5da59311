"""Contracts: one job id for one meaning, and every field bounded when it comes from a peer."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.config.errors import HansaError
from hansa.protocols.errors import ConsentError, PeerMisbehaved
from hansa.protocols.wire import canonical, limits
from hansa.protocols.wire.consent.contract import VERSION, Contract
from hansa.protocols.wire.consent.terms import Dealer, Limits, Opening, Outputs


def plain(contract):
    return canonical.decode_untrusted(contract.encode(), limits.CONTRACT_MAX_BYTES)


def at(value, path):
    for step in path:
        value = value[step]
    return value


def changed(contract, path, new):
    """The contract's bytes with one field replaced; ``...`` takes it out."""
    value = plain(contract)
    where = at(value, path[:-1])
    if new is ...:
        del where[path[-1]]
    else:
        where[path[-1]] = new
    return canonical.encode(value)


def test_it_survives_the_wire(trio_of):
    contract = trio_of.contract()
    again = Contract.decode_untrusted(memoryview(contract.encode()))
    assert again == contract
    assert again.job_id == contract.job_id
    assert len(contract.job_id) == 32


def test_every_field_is_part_of_the_job_id(trio_of):
    base = trio_of.contract()
    first, *others = base.parties
    variants = [
        replace(base, **change)
        for change in (
            {"name": "x"},
            {"purpose": "x"},
            {"parties": (*others, first)},
            {"parties": (replace(first, columns=("income", "age")), *others)},
            {"parties": (replace(first, schema_digest=b"x" * 32), *others)},
            {"params": {**base.params, "epochs": 11}},
            {"test_fraction": 0.3},
            {"seed": b"s" * 16},
            {"outputs": Outputs("all", "owner", "all")},
            {"openings": ()},
            {"limits": Limits(999)},
            {"created": base.created + 1},
            {"expires": base.expires + 1},
            {"nonce": b"m" * 16},
        )
    ]
    assert len({variant.job_id for variant in (base, *variants)}) == len(variants) + 1
    for variant in variants:
        assert Contract.decode_untrusted(variant.encode()) == variant


def test_whole_numbers_are_the_job_id_of_their_floats(trio_of):
    """A job file may say l2 = 0; the parties must not come to two ids for it."""
    base = trio_of.contract()
    whole = replace(base, params={**base.params, "l2": 0, "learning_rate": 1}, test_fraction=0)
    exact = replace(base, params={**base.params, "l2": 0.0, "learning_rate": 1.0}, test_fraction=0.0)
    assert whole.job_id == exact.job_id == Contract.decode_untrusted(whole.encode()).job_id


def test_a_second_encoding_of_one_contract_is_refused(trio_of):
    with pytest.raises(PeerMisbehaved, match="not in canonical form"):
        Contract.decode_untrusted(changed(trio_of.contract(), ("params", "l2"), 0))


@pytest.mark.parametrize(
    ("path", "most", "too_much"),
    [
        (("name",), "n" * 128, "n" * 129),
        (("purpose",), "p" * 500, "p" * 501),
        (("parties", 0, "name"), "n" * 64, "n" * 65),
        (("parties", 0, "dataset"), "d" * 64, "d" * 65),
        (("parties", 0, "label"), "l" * 256, "l" * 257),
        (("parties", 1, "columns"), ["c" * 256], ["c" * 257]),
        (("params", "epochs"), 1000, 1001),
        (("params", "epochs"), 1, 0),
        (("params", "batch_size"), 1_000_000, 1_000_001),
        (("params", "batch_size"), 1, 0),
        (("params", "learning_rate"), 100.0, 100.1),
        (("params", "learning_rate"), 1e-6, 0.0),
        (("params", "l2"), 100.0, 100.1),
        (("params", "l2"), 0.0, -0.1),
        (("test_fraction",), 0.9, 0.91),
        (("test_fraction",), 0.0, -0.1),
        (("frac_bits",), 18, 19),
        (("frac_bits",), 18, 17),
        (("limits", "max_rows"), limits.CONTRACT_MAX_ROWS, limits.CONTRACT_MAX_ROWS + 1),
        (("limits", "max_rows"), 1, 0),
        (("openings", 0, "text"), "t" * 500, "t" * 501),
        (("openings", 0, "what"), "w" * 128, "w" * 129),
        (("seed",), b"s" * 16, b"s" * 17),
        (("nonce",), b"s" * 16, b"s" * 15),
        (("parties", 0, "identity"), b"i" * 32, b"i" * 33),
        (("version",), 1, 0),
    ],
)
def test_each_bound_holds_and_one_more_does_not(trio_of, path, most, too_much):
    contract = trio_of.contract()
    assert at(plain(Contract.decode_untrusted(changed(contract, path, most))), path) == most
    with pytest.raises(PeerMisbehaved, match=f"'{path[-1]}'"):
        Contract.decode_untrusted(changed(contract, path, too_much))


def test_each_list_is_bounded(trio_of, monkeypatch):
    contract = trio_of.contract()
    columns = [f"c{n}" for n in range(limits.CONTRACT_MAX_COLUMNS)]
    Contract.decode_untrusted(changed(contract, ("parties", 1, "columns"), columns))
    with pytest.raises(PeerMisbehaved, match="'columns'"):
        Contract.decode_untrusted(changed(contract, ("parties", 1, "columns"), [*columns, "c"]))

    opening = plain(contract)["openings"][0]
    Contract.decode_untrusted(changed(contract, ("openings",), [opening] * limits.CONTRACT_MAX_OPENINGS))
    with pytest.raises(PeerMisbehaved, match="'openings'"):
        Contract.decode_untrusted(changed(contract, ("openings",), [opening] * (limits.CONTRACT_MAX_OPENINGS + 1)))

    party = plain(contract)["parties"][0]
    with pytest.raises(PeerMisbehaved, match="'parties'"):
        Contract.decode_untrusted(changed(contract, ("parties",), [party]))
    with pytest.raises(PeerMisbehaved, match="'parties'"):
        Contract.decode_untrusted(changed(contract, ("parties",), [party] * (limits.CONTRACT_MAX_PARTIES + 1)))

    monkeypatch.setattr("hansa.protocols.wire.consent.contract.CONTRACT_MAX_BYTES", len(contract.encode()))
    Contract.decode_untrusted(contract.encode())
    monkeypatch.setattr("hansa.protocols.wire.consent.contract.CONTRACT_MAX_BYTES", len(contract.encode()) - 1)
    with pytest.raises(PeerMisbehaved, match="bytes where at most"):
        Contract.decode_untrusted(contract.encode())


@pytest.mark.parametrize(
    ("path", "new"),
    [
        (("kind",), "execute"),
        (("algorithm",), "python"),
        (("algorithm",), ["lr"]),
        (("engine",), "plaintext"),
        (("align", "normalise"), "lower"),
        (("outputs", "scores"), "everybody"),
        (("outputs", "weights"), "none"),
        (("outputs", "metrics"), "none"),
        (("name",), ""),
        (("name",), "a\x1b[2Jb"),
        (("purpose",), "safe\u202egnp.exe"),
        (("name",), b"name"),
        (("params", "epochs"), 1.0),
        (("params", "epochs"), True),
        (("test_fraction",), "0.2"),
        (("parties", 0, "columns"), [""]),
        (("parties", 0, "columns"), "age"),
        (("parties", 0), None),
        (("openings", 0, "to"), [16]),
        (("openings", 0, "to"), [-1]),
        (("created",), -1),
        (("model",), b"short"),
        (("code",), "import os"),
        (("params", "callback"), 1),
        (("params", "epochs"), ...),
        (("parties", 0, "host"), "x"),
        (("outputs", "extra"), 1),
        (("limits", "extra"), 1),
        (("align", "extra"), 1),
        (("openings", 0, "extra"), 1),
        (("nonce",), ...),
        (("outputs",), ...),
    ],
)
def test_nothing_outside_the_vocabulary_is_read(trio_of, path, new):
    with pytest.raises(PeerMisbehaved, match="from a peer"):
        Contract.decode_untrusted(changed(trio_of.contract(), path, new))


def test_fields_that_do_not_fit_each_other_are_refused_by_name(trio_of):
    base = trio_of.contract()
    one, two, three = base.parties
    cases = [
        ({"parties": (one, two, replace(three, identity=two.identity))}, "names a party twice"),
        ({"parties": (one, two, replace(three, name=two.name))}, "gives two parties one name"),
        ({"parties": (one, two)}, "has 2 parties; the engine replicated takes 3 or more"),
        ({"parties": (one, two, replace(three, dataset=""))}, "does not name every party's dataset"),
        ({"parties": (one, two, replace(three, label="y"))}, "exactly one label"),
        ({"parties": (replace(one, label=None), two, three)}, "exactly one label"),
        ({"parties": tuple(replace(p, columns=()) for p in base.parties)}, "names no feature column"),
        ({"parties": (replace(one, label="age"), two, three)}, "uses its label as a feature"),
        ({"parties": (one, replace(two, columns=("a", "a")), three)}, "names a column twice"),
        ({"model": b"m" * 32}, "must name a model exactly when it uses one"),
        ({"kind": "predict"}, "must name a model exactly when it uses one"),
        ({"expires": base.created}, "expires before it was made"),
        ({"expires": base.created + limits.CONTRACT_MAX_LIFETIME_S + 1}, "open longer than 30 days"),
        ({"outputs": Outputs("none", "owner", "all")}, "keeps the test scores from everybody"),
        ({"openings": (Opening("x", (3,), "y"),)}, "opens to an unknown rank"),
    ]
    for change, match in cases:
        with pytest.raises(ConsentError, match=f"the contract 'credit' .*{match}"):
            Contract.decode_untrusted(replace(base, **change).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"expires_in": limits.CONTRACT_MAX_LIFETIME_S},
        {"expires_in": 1},
        {"kind": "predict", "model": b"m" * 32},
        {"kind": "release", "model": b"m" * 32},
        {"outputs": Outputs("none", "owner", "all"), "test_fraction": 0.0},
    ],
)
def test_the_edge_of_what_fits_is_accepted(trio_of, change):
    base = trio_of.contract()
    change = dict(change)
    if "expires_in" in change:
        change["expires"] = base.created + change.pop("expires_in")
    contract = replace(base, **change)
    assert Contract.decode_untrusted(contract.encode()) == contract


def with_dealer(trio_of, **changes):
    fields = {"version": VERSION, "engine": "additive", "dealer": Dealer(trio_of.stranger, "exchange")}
    return trio_of.contract(**(fields | changes))


def parties_of(trio_of, count):
    """As many parties, the first ones with the keys of ``trio_of``."""
    one = trio_of.base.parties[1]
    more = [replace(one, identity=bytes([n]) * 32, name=f"party-{n}") for n in range(3, count)]
    return (*trio_of.base.parties[: min(3, count)], *more)


def test_version_1_is_read_still_and_has_no_later_fields(trio_of):
    old, new = trio_of.contract(), trio_of.contract(version=VERSION)
    assert "dealer" not in plain(old)
    assert plain(new)["dealer"] is None
    assert Contract.decode_untrusted(new.encode()) == new
    assert old.job_id != new.job_id
    with pytest.raises(PeerMisbehaved, match="lacks 'categorical'"):
        Contract.decode_untrusted(changed(old, ("version",), VERSION))
    with pytest.raises(PeerMisbehaved, match="lacks 'computing'"):
        Contract.decode_untrusted(changed(old, ("version",), 2))
    with pytest.raises(PeerMisbehaved, match="unknown fields: computing, dealer"):
        Contract.decode_untrusted(changed(trio_of.contract(version=2), ("version",), 1))
    with pytest.raises(PeerMisbehaved, match="'version'"):
        Contract.decode_untrusted(changed(new, ("version",), VERSION + 1))
    with pytest.raises(ConsentError, match="of a version without this engine"):
        Contract.decode_untrusted(trio_of.contract(engine="additive").encode())


def test_a_dealer_is_a_member_after_the_parties(trio_of):
    contract = Contract.decode_untrusted(with_dealer(trio_of).encode())
    assert contract.dealer == Dealer(trio_of.stranger, "exchange")
    assert [member.name for member in contract.members] == [*trio_of.names, "exchange"]
    assert [contract.rank_of(identity) for identity in trio_of.identities] == [0, 1, 2, 3]
    assert contract.party(trio_of.identities[1]) is contract.parties[1]
    assert contract.party(trio_of.stranger) is None
    assert contract.describe()["dealer"] == "exchange"
    others = (
        with_dealer(trio_of, dealer=Dealer(trio_of.stranger, "market")),
        with_dealer(trio_of, dealer=Dealer(bytes(32), "exchange")),
        with_dealer(trio_of, dealer=None),
    )
    assert len({contract.job_id, *(other.job_id for other in others)}) == 4


@pytest.mark.parametrize(("engine", "count"), [("additive", 2), ("additive", 5), ("additive", 16), ("replicated", 3)])
def test_how_many_parties_an_engine_takes(trio_of, engine, count):
    contract = trio_of.contract(version=VERSION, engine=engine, parties=parties_of(trio_of, count))
    assert Contract.decode_untrusted(contract.encode()) == contract
    assert len(contract.describe()["computing"]) == count


def test_three_of_more_parties_compute_replicated(trio_of):
    five = {"version": VERSION, "parties": parties_of(trio_of, 5)}
    contract = Contract.decode_untrusted(trio_of.contract(**five, computing=(0, 2, 4)).encode())
    assert contract.describe()["computing"] == ["bank", "telecom", "party-4"]
    for computing in ((), (0, 1), (0, 1, 2, 3), (2, 1, 0), (0, 0, 1), (1, 2, 5)):
        with pytest.raises(ConsentError, match="does not name the parties that compute"):
            Contract.decode_untrusted(trio_of.contract(**five, computing=computing).encode())
    with pytest.raises(ConsentError, match="does not name the parties that compute"):
        Contract.decode_untrusted(trio_of.contract(version=VERSION, computing=(0, 1, 2)).encode())
    with pytest.raises(ConsentError, match="does not name the parties that compute"):
        Contract.decode_untrusted(with_dealer(trio_of, computing=(0, 1)).encode())
    with pytest.raises(PeerMisbehaved, match="'computing'"):
        Contract.decode_untrusted(changed(contract, ("computing",), [0] * 17))


def test_what_a_dealer_cannot_be(trio_of):
    one = trio_of.base.parties[0]
    cases = [
        ({"engine": "replicated"}, "names a dealer; the engine replicated has none"),
        ({"dealer": Dealer(one.identity, "exchange")}, "names a party twice"),
        ({"dealer": Dealer(trio_of.stranger, one.name)}, "gives two parties one name"),
        ({"parties": (one,)}, None),
    ]
    for change, match in cases:
        with pytest.raises((ConsentError, PeerMisbehaved), match=match or "'parties'"):
            Contract.decode_untrusted(with_dealer(trio_of, **change).encode())
    for dealer in ({}, {"identity": bytes(32)}, {"identity": bytes(31), "name": "x"}, "exchange", 0):
        with pytest.raises(PeerMisbehaved, match="dealer"):
            Contract.decode_untrusted(changed(with_dealer(trio_of), ("dealer",), dealer))
    with pytest.raises(PeerMisbehaved, match="unknown fields: dataset"):
        Contract.decode_untrusted(changed(with_dealer(trio_of), ("dealer", "dataset"), "clients"))


def test_a_party_without_columns_may_bring_the_label_alone(trio_of):
    one, two, three = trio_of.base.parties
    contract = trio_of.contract(parties=(replace(one, columns=()), two, three))
    assert Contract.decode_untrusted(contract.encode()).label_rank == 0


def test_ranks_are_places_in_the_contract(trio_of):
    contract = trio_of.contract()
    assert [contract.rank_of(identity) for identity in trio_of.identities] == [0, 1, 2, None]


def test_people_can_read_it(trio_of):
    contract = trio_of.contract()
    shown = contract.describe()
    assert shown["job"] == contract.job_id.hex()
    assert [party["name"] for party in shown["parties"]] == list(trio_of.names)
    assert shown["openings"] == [{"what": "scores", "to": ["bank"], "text": "the test scores, to bank"}]
    assert shown["model"] is None
    assert not any(isinstance(value, bytes) for value in flat(shown))


def flat(value):
    if isinstance(value, dict):
        for item in value.values():
            yield from flat(item)
    elif isinstance(value, list):
        for item in value:
            yield from flat(item)
    else:
        yield value


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_contract_ends_in_our_errors(trio_of, data):
    raw = bytearray(trio_of.contract().encode())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for damaged in (bytes(raw), bytes(raw[:cut]), bytes(raw) + b"\0"):
        try:
            contract = Contract.decode_untrusted(damaged)
        except HansaError:
            continue
        assert contract.encode() == damaged
        assert contract.job_id != trio_of.contract().job_id


JUNK = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.binary(max_size=40) | st.text(max_size=9)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_value_in_any_field_ends_in_our_errors(trio_of, data):
    value = plain(trio_of.contract())
    path = [data.draw(st.sampled_from(sorted(value)))]
    while isinstance(at(value, path), (dict, list)) and at(value, path) and data.draw(st.booleans()):
        inner = at(value, path)
        path.append(data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else list(range(len(inner))))))
    new = data.draw(JUNK | st.lists(JUNK, max_size=3) | st.dictionaries(st.text(max_size=3), JUNK, max_size=2))
    try:
        damaged = changed(trio_of.contract(), path, new)
        Contract.decode_untrusted(damaged)
    except HansaError:
        pass
