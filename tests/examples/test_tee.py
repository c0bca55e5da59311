"""The examples for trusted hardware: every file is read by what it is for; the hardware itself is not here."""

import configparser
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from hansa.config.policy import load_policy as load_rules
from hansa.config.settings import load_settings
from hansa.node.cli.main import build_parser
from hansa.node.tee.evidence.policy_file import load_policy

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILLED = {
    "gramine.libos": "/usr/lib/libsysdb.so",
    "gramine.runtimedir()": "/usr/lib/gramine",
    "python": "/usr/bin/python3",
    "venv": "/enclave/venv",
    "stdlib": "/usr/lib/python3.11",
    "arch_libdir": "/lib/x86_64-linux-gnu",
    "'true' if env.get('EDMM', '0') == '1' else 'false'": "false",
}


def manifest():
    text = (EXAMPLES / "gramine" / "hansa.manifest.template").read_text()
    return tomllib.loads(re.sub(r"\{\{ (.+?) \}\}", lambda found: FILLED[found[1]], re.sub(r"(?m)^#.*$", "", text)))


@pytest.mark.parametrize("name", ["gramine/tee.toml", "confidential-vm/tee-snp.toml", "confidential-vm/tee-tdx.toml"])
def test_members_policies_ask_for_code_and_nonce(name):
    policy = load_policy(str(EXAMPLES / name))
    assert policy.require_measurement
    assert policy.require_nonce
    assert sum(map(len, (policy.sgx, policy.tdx, policy.snp))) == 1


@pytest.mark.parametrize(("name", "backend"), [("gramine", "gramine"), ("confidential-vm", "tsm")])
def test_settings(name, backend):
    settings = load_settings(EXAMPLES / name)
    assert (settings.tee.backend, settings.tee.accept, settings.node.name) == (backend, "hardware", "enclave")
    assert [peer.name for peer in settings.peer] == ["bank"]  # nobody can type `hansa peer` inside


def test_the_enclaves_rules():
    (rule,) = load_rules(EXAMPLES / "gramine" / "policy.toml").rules
    assert rule.roles == ("enclave", "dealer")


def test_the_manifest_leaves_the_host_no_choice():
    said = manifest()
    assert said["sgx"]["debug"] is False
    assert said["sgx"]["remote_attestation"] == "dcap"
    assert "insecure__" not in str(said)
    assert not {"argv_src_file", "env_src_file"} & set(said["loader"])
    paths = [mount["path"] for mount in said["fs"]["mounts"]]
    for place, path in enumerate(paths):  # mounts come in order: a later one hides what an earlier one has below it
        assert not any(earlier.startswith(path + "/") for earlier in paths[:place]), path
    home = next(mount for mount in said["fs"]["mounts"] if mount["path"] == "/hansa")
    assert (home["type"], home["key_name"]) == ("encrypted", "_sgx_mrenclave")
    assert said["sgx"]["allowed_files"] == ["file:collateral/"]
    trusted = set(said["sgx"]["trusted_files"])
    assert {"file:hansa.toml", "file:policy.toml", "file:tee.toml", "file:/enclave/venv/"} <= trusted
    assert parsed(said["loader"]["argv"][4:])


def test_the_unit_starts_the_node_and_shuts_the_rest_out():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(EXAMPLES / "confidential-vm" / "hansa.service")
    service = unit["Service"]
    assert parsed(service["ExecStart"].split()[1:])
    assert (service["ProtectSystem"], service["NoNewPrivileges"]) == ("strict", "yes")
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == "CAP_DAC_OVERRIDE"
    text = (EXAMPLES / "confidential-vm" / "hansa.service").read_text()
    bound = dict(re.findall(r"(?m)^BindReadOnlyPaths=(\S+):(\S+)$", text))
    assert {Path(path).name: Path(to) for path, to in bound.items()} == {
        name: Path("/var/lib/hansa") / name for name in ("hansa.toml", "policy.toml", "tee.toml")
    }


@pytest.mark.parametrize("name", ["gramine", "confidential-vm"])
def test_the_readmes_say_what_was_not_run_and_no_command_that_is_none(name):
    text = (EXAMPLES / name / "README.md").read_text()
    assert "**Not run on the hardware.**" in text.split("##")[0]
    commands = re.findall(r"(?m)^ {7}hansa (.*)$", text)
    assert len(commands) >= 4
    assert all(parsed(command.split()) for command in commands)


def parsed(words):
    """What the command line makes of these words; it exits where they are no command."""
    return build_parser(words[:1]).parse_args(words)


def test_make_says_what_is_missing_before_it_does_anything(tmp_path):
    for name in ("Makefile", "hansa.manifest.template"):
        (tmp_path / name).write_text((EXAMPLES / "gramine" / name).read_text())
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make", "-n"], cwd=tmp_path, env=outer, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "make the virtual environment first, as README.md says" in done.stderr
    assert done.stdout == ""
