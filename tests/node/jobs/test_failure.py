import itertools

import pytest

from hansa.algorithms.errors import DataError
from hansa.config.errors import HansaError
from hansa.node.jobs.failure import (
    MAX_TEXT,
    Agreement,
    Priority,
    judge,
    link_lost,
    node_lost,
    verdict_from_untrusted,
    worker_lost,
)
from hansa.protocols.errors import DesyncError, PeerAborted, PeerLost, PeerMisbehaved, PeerTimeout, UndeclaredOpening

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32
PARTIES = {A: "bank", B: "bureau", C: "telecom"}
WHERE = {"step": "train", "job": "0011223344556677"}


def judged(error, me=A):
    return judge(error, me=me, parties=PARTIES, **WHERE)


def test_every_order_of_arrival_gives_the_same_verdict():
    verdicts = [
        worker_lost(B, "bureau", "killed by signal 9", **WHERE),
        link_lost(B, "bureau", **WHERE),
        node_lost(C, "telecom", **WHERE),
        link_lost(B, "bureau", step="evaluate", job=WHERE["job"]),
    ]
    outcomes = set()
    for order in itertools.permutations(verdicts):
        agreement = Agreement()
        for verdict in order:
            agreement.add(verdict)
        outcomes.add(agreement.common.order)
    assert outcomes == {verdicts[0].order}


def test_add_says_whether_the_common_verdict_changed():
    agreement = Agreement()
    assert agreement.common is None
    assert agreement.add(link_lost(B, "bureau", **WHERE))
    assert not agreement.add(link_lost(B, "bureau", **WHERE))
    assert not agreement.add(link_lost(C, "telecom", **WHERE))
    assert agreement.add(node_lost(C, "telecom", **WHERE))
    assert agreement.common.culprit == C


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


def test_own_report_of_a_dead_worker_beats_what_others_saw():
    first_hand = worker_lost(B, "bureau", "killed by signal 9", **WHERE)
    assert first_hand.order < node_lost(B, "bureau", **WHERE).order < link_lost(B, "bureau", **WHERE).order
    assert first_hand.state == "interrupted"


def test_a_peers_report_survives_the_wire():
    verdict = judged(DataError("bad cell", remedy="mend it", column="age", row=3))
    assert verdict_from_untrusted(int(verdict.priority), verdict.culprit, verdict.step, verdict.error) == verdict


def test_a_peers_report_is_cut_to_bounds():
    error = {"code": "c" * 100, "exit_code": 0, "message": "m" * (MAX_TEXT + 1), "remedy": 7, "fields": {1: 2, "k": []}}
    verdict = verdict_from_untrusted(1, None, "s" * 100, error)
    assert len(verdict.error["message"]) == MAX_TEXT
    assert (len(verdict.error["code"]), len(verdict.step)) == (64, 64)
    assert verdict.error["exit_code"] == 7
    assert verdict.error["fields"] == {}


@pytest.mark.parametrize(("priority", "error"), [(99, {}), (0, {}), (-1, {}), (1, None), (1, [])])
def test_a_malformed_report_is_refused(priority, error):
    with pytest.raises(HansaError, match="malformed"):
        verdict_from_untrusted(priority, None, "train", error)


def test_a_peers_report_cannot_move_the_cursor_nor_begin_a_line():
    error = {"message": "gone\nnext: rm -rf \x1b[8m", "remedy": "wait\u202e", "code": "x\r", "fields": {"k\n": "v\n"}}
    verdict = verdict_from_untrusted(1, None, "train", error)
    assert verdict.error["message"] == "gone next: rm -rf  [8m"
    assert verdict.error["remedy"] == "wait "
    assert verdict.error["code"] == "x "
    assert verdict.error["fields"] == {"k ": "v "}
