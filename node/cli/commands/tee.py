"""hansa tee: trusted hardware, here and at peers, and what its evidence is worth."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hansa.config.errors import ConfigError
from hansa.node.cli.ask import ask
from hansa.node.cli.commands.peer import hardware
from hansa.node.cli.output import emit, hint, style
from hansa.node.cli.parser import command, group
from hansa.node.cli.units import ago, clock
from hansa.node.errors import MissingExtra, UsageError

REFUSED = 1
_LATEST = 2**33  # far past every certificate, and still a date
ABOUT = """\
A node in an enclave or a confidential virtual machine proves what it is by evidence: a quote (Intel SGX, TDX) or a report
(AMD SEV-SNP), signed by a key that its maker's certificates vouch for. Nothing is fetched: the collateral comes in files.
Policies by name: strict (genuine, TCB up to date, no debugging, collateral in date) and report (any TCB status but
Revoked, named in the reasons); docs/tee.md explains policy files and what no evidence proves."""


def register(subparsers: Any) -> None:
    """Add the command."""
    sub = group(subparsers, "tee", "trusted hardware: what is attested, and verifying evidence", about=ABOUT)
    command(
        sub,
        "status",
        _status,
        "what this node and its peers prove their code by, and the last verdict on each",
        examples=["hansa tee status"],
    )
    vote = command(
        sub,
        "vote",
        _vote,
        "let enclaves of other code have the keys of this node's models",
        about="An enclave's keys go to other code once as many of a job's parties vote for it as the job's contract asks for.",
        examples=["hansa tee vote SGX:33d8… SGX:9f01… --days 30"],
    )
    vote.add_argument("code_from", metavar="FROM", help="the code that has the keys, as `hansa tee status` writes it")
    vote.add_argument("code_to", metavar="TO", help="the code that may have them, too")
    vote.add_argument(
        "--days", type=int, default=30, help="how long the vote stands (default: 30); it cannot be taken back"
    )
    verify = command(
        sub,
        "verify",
        _verify,
        "judge a quote or report, and say why",
        about="The exit code is 0 if it is accepted, 1 if it is refused, 2 if something cannot be read.",
        examples=[
            "hansa tee verify quote.bin --collateral collateral.json --policy strict",
            "hansa tee verify report.bin --collateral vcek.der --collateral chain.pem --nonce 00112233445566778899aabbccddeeff",
        ],
    )
    verify.add_argument("quote", metavar="QUOTE", type=Path, help="the evidence, as its device gave it")
    verify.add_argument(
        "--collateral",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="Intel: the collateral as JSON. AMD: certificates and revocation lists, PEM or DER, files or folders; repeatable",
    )
    verify.add_argument("--at", metavar="UNIX_TIME", type=int, default=None, help="judge as of then (default: now)")
    verify.add_argument("--policy", metavar="FILE", default="strict", help="strict (default), report, or a TOML file")
    verify.add_argument(
        "--measurement",
        metavar="HEX",
        action="append",
        default=[],
        help="the code expected: MRENCLAVE, launch measurement, of TDX the code or MRTD alone; repeatable, one must fit",
    )
    verify.add_argument("--nonce", metavar="HEX", default=None, help="what the report data must be (zeros follow it)")


def _status(args: argparse.Namespace) -> int:
    told = ask(args, "tee.status")
    emit(args, told, lambda: _status_lines(told))
    return 0


def _status_lines(told: dict[str, Any]) -> list[str]:
    own = told["own"]
    if own is None:
        lines = ["This node runs in no trusted hardware ([tee] in hansa.toml)."]
    elif own["problem"]:
        lines = [style(f"This node's hardware ({own['backend']}) gives no evidence: {own['problem']}", "red")]
    else:
        mark = style("INSECURE, simulated: ", "red") if own["backend"].startswith("insecure") else ""
        lines = [
            f"{mark}this node proves by {own['backend']} ({own['platform']}) that it runs the code",
            f"  {own['platform']}:{own['code']}",
        ]
        sealed = own["sealed"]
        if sealed is not None:
            lines.append(f"  {sealed['keys']} model keys sealed, epoch {sealed['epoch']}")
            lines += [style(f"  SHUT: {sealed['shut']}", "red")] if sealed["shut"] else []
            lines += [style(f"  not read: {sealed['unread']}", "yellow")] if sealed["unread"] else []
    for peer in told["peers"]:
        when = f", {ago(peer['ago_s'])}" if peer["ago_s"] is not None else ""
        lines += ["", f"{style(peer['peer'], 'bold')}: {hardware(peer)}{when}"]
        lines += [f"  code {peer['platform']}:{peer['code']}"] if peer["code"] else []
        lines += [f"  {reason}" for reason in peer["reasons"]]
    lines += [] if told["peers"] else ["", "No peer is in trusted hardware."]
    for vote in told["votes"]:
        lines += ["", f"{vote['voter']} votes until {clock(vote['until'])} that keys may go", f"  from {vote['from']}"]
        lines.append(f"  to   {vote['to']}")
    return lines


def _vote(args: argparse.Namespace) -> int:
    told = ask(args, "tee.vote", code_from=args.code_from, code_to=args.code_to, days=args.days)
    emit(args, told, lambda: [f"Voted, until {clock(told['until'])}.", hint(args, "tee status")])
    return 0


def _verify(args: argparse.Namespace) -> int:
    """Whatever keeps from a verdict has the exit code of what cannot be read, as 1 says that evidence is refused."""
    try:
        verdict, policy = _judged(args)
    except (ConfigError, MissingExtra) as error:
        raise UsageError(error.message, remedy=error.remedy, **error.fields) from error
    emit(args, verdict, lambda: _lines(verdict, policy))
    return 0 if verdict["verdict"] == "accept" else REFUSED


def _judged(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The verdict, and the policy's name."""
    # the library of certificates takes longer to load than most commands take
    from hansa.node.tee.evidence.collateral import load_collateral, missing_library, read_bounded  # noqa: PLC0415
    from hansa.node.tee.evidence.policy_file import load_policy  # noqa: PLC0415
    from hansa.protocols.wire.attestation.errors import MalformedEvidence  # noqa: PLC0415
    from hansa.protocols.wire.attestation.platforms import MEASUREMENT_BYTES, code_of  # noqa: PLC0415
    from hansa.protocols.wire.attestation.policy import LEAST_NONCE_BYTES, REPORT_DATA_BYTES, Expected  # noqa: PLC0415
    from hansa.protocols.wire.attestation.verify import verify_evidence  # noqa: PLC0415
    from hansa.protocols.wire.limits import ATTESTATION_MAX_QUOTE  # noqa: PLC0415

    at = int(time.time()) if args.at is None else args.at
    if not 0 <= at < _LATEST:
        raise UsageError(f"--at {at} is no time", remedy="give seconds since 1970, or leave --at out for now")
    nonce = None if args.nonce is None else _hex("--nonce", args.nonce, range(LEAST_NONCE_BYTES, REPORT_DATA_BYTES + 1))
    expected = Expected(tuple(_measurement(text, MEASUREMENT_BYTES) for text in args.measurement), nonce)
    policy = load_policy(args.policy)
    collateral = load_collateral(args.collateral)
    try:
        verdict = verify_evidence(read_bounded(args.quote, ATTESTATION_MAX_QUOTE), collateral, policy, expected, at)
    except MalformedEvidence as error:
        raise UsageError(
            f"{args.quote} cannot be judged: {error.message}",
            remedy="give a quote (SGX v3, TDX v4 or v5) or a SEV-SNP report, in bytes as the device gave it",
            file=str(args.quote),
        ) from error
    except ModuleNotFoundError as error:
        raise missing_library() from error
    told = verdict.as_dict()
    if verdict.accepted:
        told["fields"] |= {"code": f"{verdict.platform}:{code_of(verdict.platform, verdict.fields).hex()}"}
    return told, policy.name


def _measurement(text: str, sizes: Mapping[str, int]) -> bytes:
    """A measurement, or a code as `hansa tee status` writes it: PLATFORM:HEX."""
    platform, colon, digits = text.rpartition(":")
    return _hex("--measurement", digits, (sizes[platform],) if colon and platform in sizes else (32, 48))


def _hex(option: str, text: str, sizes: range | tuple[int, ...]) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) not in sizes:
        allowed = f"{sizes[0]} to {sizes[-1]}" if isinstance(sizes, range) else " or ".join(map(str, sizes))
        raise UsageError(f"{option} must be {allowed} bytes in hexadecimal digits", remedy="hansa tee verify --help")
    return value


def _lines(verdict: dict[str, Any], policy: str) -> list[str]:
    accepted = verdict["verdict"] == "accept"
    head = style("ACCEPTED", "green") if accepted else style("REFUSED", "red")
    status = f", TCB {verdict['tcb_status']}" if verdict["tcb_status"] else ""
    lines = [f"{head} under the policy {policy}: {verdict['platform']}{status}"]
    lines += [f"  {reason}" for reason in verdict["reasons"]]
    if verdict["not_checked"]:
        lines += ["", "not checked:", *(f"  {text}" for text in verdict["not_checked"])]
    if verdict["fields"]:
        says = "what it proves of itself:" if accepted else "what it says of itself (refused: none of it is proven):"
        lines += ["", style(says, "bold"), *_fields(verdict["fields"])]
    return lines


def _fields(fields: dict[str, Any]) -> list[str]:
    wide = max(map(len, fields))
    return [f"  {name.ljust(wide)}  {_value(value)}" for name, value in fields.items() if value is not None]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, str) and len(value) > 32 and not value.strip("0"):
        return "zeros"
    return str(value).lower() if isinstance(value, bool) else str(value)
