"""The typed client against a real daemon: every answer has the fields its type says, and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from hansa.config.settings import NodeSettings, Settings
from hansa.node.admin import answers
from hansa.node.admin.client import AdminClient
from hansa.node.daemon import Daemon
from hansa.node.errors import RelayedError
from hansa.node.identity import create_identity


def fits(value: Any, shape: Any) -> bool:
    """Whether a JSON object has exactly the keys of a TypedDict."""
    return set(value) == shape.__required_keys__ and not shape.__optional_keys__


def start(home: Path, name: str) -> Daemon:
    home.mkdir()
    return Daemon(home, Settings(node=NodeSettings(name)), create_identity(home))


async def use(daemon: Daemon, work: Callable[[AdminClient], Any]) -> Any:
    def run() -> Any:
        with AdminClient(daemon.node.home) as client:
            return work(client)

    return await trio.to_thread.run_sync(run)


async def test_answers_have_the_fields_their_types_say(tmp_path: Path) -> None:
    bank, bureau = start(tmp_path / "bank", "bank"), start(tmp_path / "bureau", "bureau")
    async with trio.open_nursery() as nursery:
        await nursery.start(bank.run)
        await nursery.start(bureau.run)
        invited = await use(bank, lambda c: c.invite(60))
        assert fits(invited, answers.Invited)
        assert fits(await use(bureau, lambda c: c.join(invited["code"])), answers.PeerView)
        with trio.fail_after(15):
            while not (
                bank.net.mesh.online(bureau.node.identity.public) and bureau.net.mesh.online(bank.node.identity.public)
            ):
                await trio.sleep(0.01)
        status = await use(bank, lambda c: c.status())
        assert fits(status, answers.Status)
        assert status["warnings"] == status["jobs"] == status["approvals"] == []
        (peer,) = await use(bank, lambda c: c.peers())
        assert fits(peer, answers.PeerView)
        assert (peer["name"], peer["online"]) == ("bureau", True)
        (leg,) = await use(bank, lambda c: c.doctor())
        assert fits(leg, answers.Leg)
        entries = await use(bank, lambda c: c.audit())
        assert [entry["kind"] for entry in entries] == ["invitation", "peer-pinned"]
        assert all(fits(entry, answers.AuditEntryView) for entry in entries)
        await bank.net.mesh.send(bureau.node.identity.public, bank.node.audit.head())  # type: ignore[arg-type]  # there are entries
        with trio.fail_after(15):
            while not bureau.node.audit.heads_of(bank.node.identity.public):
                await trio.sleep(0.01)
        verdict = await use(bank, lambda c: c.verify_audit())
        assert fits(verdict, answers.AuditVerdict)
        assert [fits(checked, answers.HeadsChecked) for checked in verdict["heads_checked"]] == [True]
        assert await use(bank, lambda c: [c.datasets(), c.jobs(), c.models()]) == [[], [], []]
        with pytest.raises(RelayedError, match="no job is called 'abcd'"):
            await use(bank, lambda c: c.refuse("abcd", "no"))
        await use(bureau, lambda c: c.stop())
        with trio.fail_after(5):
            await bureau.stopping.wait()
        with trio.fail_after(15):
            while bank.net.mesh.online(bureau.node.identity.public):
                await trio.sleep(0.01)
        status = await use(bank, lambda c: c.status())
        assert [fits(warning, answers.Notice) for warning in status["warnings"]] == [True]
        assert "bureau is offline" in status["warnings"][0]["text"]
        bank.stop()
