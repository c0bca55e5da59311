import itertools

import pytest

from hansa.algorithms.errors import DataError
from hansa.config.errors import HansaError
from hansa.node.jobs.failure import (
    Agreement,
    node_lost,
    verdict_from_untrusted,
    worker_lost,
)
from hansa.node.worker.verdict import MAX_TEXT, judge, link_lost

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32
PARTIES = {A: "bank", B: "bureau", C: "telecom"}
WHERE = {"step": "train", "job": "0011223344556677"}


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


def test_own_report_of_a_dead_worker_beats_what_others_saw():
    first_hand = worker_lost(B, "bureau", "killed by signal 9", **WHERE)
    assert first_hand.order < node_lost(B, "bureau", **WHERE).order < link_lost(B, "bureau", **WHERE).order
    assert first_hand.state == "interrupted"


def test_a_peers_report_survives_the_wire():
    error = DataError("bad cell", remedy="mend it", column="age", row=3)
    verdict = judge(error, me=A, parties=PARTIES, **WHERE)
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
