"""hansa.toml: defaults, every key documented, and errors that name file, line and key."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from hansa.config.errors import ConfigError
from hansa.config.reference import configuration_markdown
from hansa.config.settings import SECTIONS, SUITES, Settings, default_toml, load_settings, parse_settings

KEY = "ab" * 32 + "." + "cd" * 32


def test_an_empty_file_gives_the_defaults():
    assert parse_settings("", "hansa.toml") == Settings()


def test_the_default_file_documents_every_key_and_parses():
    text = default_toml("bank", listen__port=7400, listen__advertise=["bank.example:7400"])
    settings = parse_settings(text, "hansa.toml")
    assert (settings.node.name, settings.listen.port) == ("bank", 7400)
    assert settings.listen.advertise == ("bank.example:7400",)
    assert settings.channel.suites == SUITES
    for kind in SECTIONS.values():
        for field in fields(kind):
            assert f"# {field.metadata['doc']}" in text


def test_the_defaults_shown_are_the_defaults():
    text = default_toml("bank")
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line and not line.startswith(("# name", "# key", "# address")) else line
        for line in text.splitlines()
    )
    tomllib.loads(uncommented)
    assert parse_settings(uncommented, "hansa.toml") == parse_settings(text, "hansa.toml")


def test_docs_are_in_step():
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text() == configuration_markdown(), "python -m hansa.config.reference > docs/configuration.md"


def test_peers_are_read():
    text = f'[[peer]]\nname = "lab"\nkey = "{KEY}"\naddress = "[::1]:7400"\n'
    assert parse_settings(text, "hansa.toml").peer[0].address == "[::1]:7400"


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("[node]\nnmae = 'x'\n", 2, r"node\.nmae is not a key hansa knows \(did you mean 'name'\?\)"),
        ("[nod]\nname = 'x'\n", 1, r"nod is not a key hansa knows \(did you mean 'node'\?\)"),
        ("[node]\nname = 7\n", 2, r"node\.name must be a string"),
        ("[node]\nname = 'two words'\n", 2, r"node\.name cannot be 'two words'"),
        ("node = 3\n", 1, r"node must be a table"),
        ("# c\n\n[listen]\nport = 65536\n", 4, r"listen\.port must be an integer from 0 to 65535"),
        ("[listen]\nport = true\n", 2, r"listen\.port must be an integer"),
        ("[listen]\nport = '7400'\n", 2, r"listen\.port must be an integer"),
        ("[listen]\nadvertise = ['nowhere']\n", 2, r"listen\.advertise holds 'nowhere', which is not host:port"),
        ("[listen]\nadvertise = ['bank.example:07400']\n", 2, "which is not host:port"),
        ("[listen]\nadvertise = ['" + "a" * 254 + ":1']\n", 2, "which is not host:port"),
        (f"[listen]\nadvertise = {['a:1'] * 9}\n", 2, "holds 9 addresses; peers read 8"),
        ("[listen]\nadvertise = 'a:1'\n", 2, r"listen\.advertise must be a list of strings"),
        ("[discovery]\nzeroconf = 1\n", 2, r"discovery\.zeroconf must be true or false"),
        ("[channel]\nsuites = ['DES']\n", 2, r"channel\.suites holds 'DES'; known: AESGCM_SHA256"),
        ("[channel]\nsuites = []\n", 2, r"must name at least one suite"),
        ("[limits]\nmax_jobs = 0\n", 2, r"limits\.max_jobs must be an integer from 1"),
        ("[log]\nlevel = 'debugg'\n", 2, r"log\.level must be one of .* \(did you mean 'debug'\?\)"),
        (
            f"[[peer]]\nname='a'\nkey='{KEY}'\naddress='a:1'\n[[peer]]\nname='b'\nkey='x'\naddress='b:1'\n",
            7,
            r"peer\.key",
        ),
        ("[[peer]]\nname = 'a'\n", 1, r"peer\.key is missing"),
        ("[peer]\nname = 'a'\n", 1, r"must be written as \[\[peer\]\] sections"),
        ("[node\n", 1, r"is not valid TOML"),
        ("[node]\nname = 'a'\nname = 'b'\n", 3, r"is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text, line, why):
    with pytest.raises(ConfigError, match=why) as caught:
        parse_settings(text, "/home/x/hansa.toml")
    assert caught.value.fields["file"] == "/home/x/hansa.toml"
    assert caught.value.fields["line"] == line
    assert caught.value.exit_code == 3
    assert "next: " in str(caught.value)


def test_a_missing_or_unreadable_file(tmp_path):
    with pytest.raises(ConfigError, match=r"is not a hansa home: there is no hansa\.toml"):
        load_settings(tmp_path)
    (tmp_path / "hansa.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path)
