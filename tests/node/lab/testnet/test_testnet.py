"""A local network by hand: up, kill, up again, slow, down; and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from hansa.node.errors import UsageError
from hansa.node.lab.testnet.local_nodes import alive
from hansa.node.lab.testnet.network import LocalNetwork


def test_the_story_of_a_network(tmp_path: Path) -> None:
    net = LocalNetwork(tmp_path / "net")
    try:
        state = net.up(3, [])
        assert [node["name"] for node in state["nodes"]] == ["bank", "bureau", "telecom"]
        assert all(node["up"] and node["peers_online"] == 2 for node in state["nodes"])
        killed = net.kill("bureau")
        assert not alive(killed)
        with pytest.raises(UsageError, match="is down already"):
            net.kill("bureau")
        with pytest.raises(UsageError, match="already"):
            net.up(2, [])
        again = net.up(0, [])
        assert all(node["up"] and node["peers_online"] == 2 for node in again["nodes"])
        net.slow("5ms", "100mbit")
        assert net.status()["relay"] == {"up": True, "latency": "5ms", "bandwidth": "100mbit"}
        assert "bank" in net.logs("bank", 5)
        with pytest.raises(UsageError, match="no node 'bnak'"):
            net.logs("bnak", 5)
    finally:
        pids = [node["pid"] for node in net.status()["nodes"] if node["pid"]]
        net.down(keep=False)
    assert not (tmp_path / "net").exists()
    assert not any(alive(pid) for pid in pids)
    with pytest.raises(UsageError, match="there is no network"):
        net.status()


@pytest.mark.parametrize("names", [["one"], ["a", "a"], [f"n{i}" for i in range(17)]])
def test_names_that_make_no_network(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(UsageError, match="2 to 16 nodes"):
        LocalNetwork(tmp_path / "net").up(0, names)
    assert not (tmp_path / "net").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        LocalNetwork(tmp_path).up(3, [])
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_damaged_state_is_said(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text("{")
    with pytest.raises(UsageError, match="is damaged"):
        LocalNetwork(tmp_path).status()
