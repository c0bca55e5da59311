"""Two nodes that attest to each other over a connection in memory: the bank, who asks, and the enclave's node."""

from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import trio

from hansa.node.net.requests import Requests
from hansa.node.tee.evidence.judge import Judge
from hansa.node.tee.evidence.prover import Prover
from hansa.node.tee.keys.model_keys import ModelKeys
from hansa.node.tee.peers.attestations import Attestations
from hansa.node.tee.peers.epochs import SeenEpochs
from hansa.protocols.wire import messages
from hansa.protocols.wire.messages import AttestReply

WORD = "insecure-simulated"
BANK, TEE = b"b" * 32, b"t" * 32


class Link:
    """What attestation knows of a ``ControlLink``."""

    def __init__(self, mesh, channel, hardware):
        self.mesh = mesh
        self.conn, self.hello = SimpleNamespace(handshake_hash=channel), SimpleNamespace(hardware=hardware)

    def post(self, message):
        self.mesh.nursery.start_soon(self.mesh.send, None, message)


class Mesh:
    """Both ends of one connection; everything crosses as bytes. ``change`` may replace what this node sends."""

    def __init__(self, me, nursery):
        self.me, self.nursery, self.handlers, self.ups, self.downs = me, nursery, {}, [], []
        self.sent, self.requests, self.now = [], Requests(), None
        self.change = lambda message: message
        self.connect(b"h" * 32)

    def connect(self, channel, hardware=WORD):
        """Another connection takes the place of the one before; ``hardware`` is what the peer says of itself on it."""
        self.disconnect()
        self.now = Link(self, channel, hardware)

    def disconnect(self):
        self.requests.lost(self.now)
        self.now = None

    async def up(self, identity):
        for callback in self.ups:
            await callback(identity)

    def handle(self, kind, handler):
        self.handlers[kind] = handler

    def on_up(self, callback):
        self.ups.append(callback)

    def on_down(self, callback):
        self.downs.append(callback)

    def link(self, identity):
        return self.now

    async def send(self, identity, message):
        message = self.change(message)
        if message is not None:
            self.sent.append(message)
            await self.hear(identity, message)

    async def request(self, identity, exchange, *fields):
        return await self.requests.ask(self.now, "enclave", exchange, *fields)

    async def hear(self, identity, message):
        message = messages.decode_untrusted(messages.encode(message))
        if isinstance(message, AttestReply):
            self.other.requests.answered(self.other.now, message)
        else:
            await self.other.handlers[type(message)](self.me, message)


def says(problem):
    """For ``Mesh.change``: the enclave's node gives no proof, and says this."""
    return lambda message: replace(message, proof=b"", problem=problem) if isinstance(message, AttestReply) else message


class Log:
    def __init__(self):
        self.entries = []

    def append(self, kind, body):
        self.entries.append((kind, body))


class Heard:
    """Verdicts on the enclave's node, as a listener gets them."""

    def __init__(self, node):
        self._send, self._receive = trio.open_memory_channel(1000)
        node.on_judged(self._listen)

    async def _listen(self, identity, judged):
        assert identity == TEE
        self._send.send_nowait(judged)

    async def next(self):
        with trio.fail_after(100):
            return await self._receive.receive()

    def so_far(self):
        count = self._receive.statistics().current_buffer_used
        return [self._receive.receive_nowait() for _ in range(count)]


@asynccontextmanager
async def two_nodes(folder, accept=WORD, backend=WORD, reattest_s=600):
    """Both, started; ``backend`` is the enclave's, ``accept`` and ``reattest_s`` are of both."""
    nodes = []
    async with trio.open_nursery() as nursery:
        for me, own in ((BANK, ""), (TEE, backend)):
            home = folder / me.hex()[:2]
            home.mkdir()
            prover = Prover(own, (), "code") if own else None
            mesh, log = Mesh(me, nursery), Log()
            node = Attestations(
                mesh,
                log,
                me=me,
                prover=prover,
                model_keys=ModelKeys(home, prover, me),
                epochs=SeenEpochs(home / "epochs"),
                judge=Judge(home / "tee.toml", accept),
                name_of=lambda identity: {BANK: "bank", TEE: "enclave"}[identity],
                reattest_s=reattest_s,
            )
            nodes.append(SimpleNamespace(node=node, mesh=mesh, audit=log, home=home))
            await nursery.start(node.serve)
        nodes[0].mesh.other, nodes[1].mesh.other = nodes[1].mesh, nodes[0].mesh
        yield nodes
        nursery.cancel_scope.cancel()
