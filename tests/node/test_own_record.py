"""What a node tells peers of itself: its addresses, and a number that moves only when what it says does."""

from contextlib import closing

import pytest

from hansa.config.settings import ListenSettings, NodeSettings, Settings, TeeSettings
from hansa.node.identity import create_identity
from hansa.node.own_record import OwnRecord
from hansa.node.store import Store


@pytest.fixture
def own(tmp_path):
    """``own(listen)``: the record of a node that listens on port 7400."""
    identity = create_identity(tmp_path)
    with closing(Store(tmp_path)) as store:

        def make(listen=None, port=7400):
            settings = Settings(NodeSettings("bank"), listen or ListenSettings("127.0.0.1"), tee=TeeSettings("tsm"))
            return OwnRecord(store, identity, settings, lambda: port)

        yield make


@pytest.mark.parametrize(
    ("listen", "addresses"),
    [
        (ListenSettings("10.0.0.1"), ("10.0.0.1:7400",)),
        (ListenSettings("fd00::1"), ("[fd00::1]:7400",)),
        (ListenSettings("0.0.0.0"), ()),
        (ListenSettings("::"), ()),
        (ListenSettings(""), ()),
        (ListenSettings("0.0.0.0", advertise=("bank.example:443",)), ("bank.example:443",)),
        (ListenSettings("10.0.0.1", advertise=("bank.example:443",)), ("bank.example:443",)),
    ],
)
def test_where_peers_reach_it(own, listen, addresses):
    assert own(listen).addresses == own(listen).record().addresses == own(listen).hello().addresses == addresses


def test_the_number_moves_with_what_the_record_says(own):
    first = own().record()
    assert own().record() == first
    moved = own(port=7401).record()
    assert moved.sequence > first.sequence
    assert own(port=7401).record() == moved


def test_a_number_that_peers_hold_already_is_passed(own):
    first = own().record()
    own().outnumber(first.sequence + 1000)
    assert own().record().sequence == first.sequence + 1001


def test_a_hello_says_name_version_and_hardware(own):
    hello = own().hello()
    assert (hello.name, hello.version, hello.hardware) == ("bank", own().version, "tsm")
