import pytest

from hansa.algorithms.errors import DataError
from hansa.node.worker.verdict import Priority, judge
from hansa.protocols.errors import DesyncError, PeerAborted, PeerLost, PeerMisbehaved, PeerTimeout, UndeclaredOpening

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32
PARTIES = {A: "bank", B: "bureau", C: "telecom"}
WHERE = {"step": "train", "job": "0011223344556677"}


def judged(error, me=A):
    return judge(error, me=me, parties=PARTIES, **WHERE)


@pytest.mark.parametrize(
    ("error", "priority", "culprit", "state"),
    [
        (DataError("bad cell", remedy="mend it"), Priority.OWN, A, "failed"),
        (UndeclaredOpening("no", remedy="no", what="x"), Priority.OWN, A, "failed"),
        (PeerLost("gone", remedy="r", peer=1), Priority.LINK_LOST, B, "interrupted"),
        (PeerTimeout("gone", remedy="r", peer=2), Priority.LINK_LOST, C, "interrupted"),
        (PeerLost("gone", remedy="r", peer=-1), Priority.OWN, A, "failed"),
        (PeerLost("gone", remedy="r", peer=3), Priority.OWN, A, "failed"),
        (PeerMisbehaved("junk", remedy="r", peer=2), Priority.MISBEHAVED, C, "failed"),
        (DesyncError("apart", remedy="r", peer=1), Priority.MISBEHAVED, B, "failed"),
        (PeerAborted("they left", remedy="r", peer=1), Priority.RELAYED, B, "failed"),
        (PeerAborted("x", remedy="r", peer=1, culprit=2, cause="data"), Priority.RELAYED, C, "failed"),
        (PeerAborted("x", remedy="r", peer=1, culprit=2, cause="peer-lost"), Priority.LINK_LOST, C, "interrupted"),
        (PeerAborted("x", remedy="r", peer=1, culprit=0, cause="peer-lost"), Priority.LINK_LOST, A, "interrupted"),
        (PeerAborted("x", remedy="r", peer=1, culprit=0, cause="desync"), Priority.OWN, A, "failed"),
    ],
)
def test_an_error_is_blamed_on_who_made_it(error, priority, culprit, state):
    verdict = judged(error)
    assert (verdict.priority, verdict.culprit, verdict.state) == (priority, culprit, state)
    assert verdict.error["fields"]["culprit"] == PARTIES[culprit]
    assert verdict.error["fields"]["step"] == "train"


def test_two_observers_of_one_loss_say_the_same():
    seen_by_a = judged(PeerLost("read: reset", remedy="r", peer=2), me=A)
    assert seen_by_a == judged(PeerTimeout("silent", remedy="r", peer=2), me=B)


def test_ranks_are_told_as_names():
    verdict = judged(DesyncError("party 1 is at train where party 0 is at align; party 9", remedy="r", peer=1))
    assert verdict.error["message"] == "bureau is at train where bank is at align; party 9"


def test_the_culprits_own_words_keep_code_column_and_row_but_no_local_path():
    error = DataError(
        "/home/ann/secret/clients.csv: column 'age', row 7 is not a number",
        remedy="correct the cell",
        file="/home/ann/secret/clients.csv",
        column="age",
        row=7,
    )
    data = judged(error).error
    assert data["message"] == "bank: clients.csv: column 'age', row 7 is not a number"
    assert data["code"] == "data"
    assert data["fields"] == {"column": "age", "row": 7, "culprit": "bank", **WHERE}
