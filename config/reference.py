"""docs/configuration.md, made from the settings' own documentation.

python -m hansa.config.reference > docs/configuration.md
"""

from __future__ import annotations

from dataclasses import fields

from hansa.config.settings import SECTIONS, toml_value

_HEAD = """\
# Settings: `HOME/hansa.toml`

`hansa init` writes this file with every key explained; `hansa config show` prints what is in force, `hansa config
check` says where something is wrong. A node reads it once, at its start. A key that hansa does not know, a value of the
wrong type or out of range is refused with the file's name, the line and the nearest key there is.

The home is `--home DIR`, else `$HANSA_HOME`, else `~/.hansa`. It holds

| file | what it is |
|---|---|
| `hansa.toml` | these settings |
| `policy.toml` | which jobs are signed without asking ([policy.md](policy.md)) |
| `tee.toml` | which proofs of trusted hardware are accepted ([tee.md](tee.md)); without it none |
| `identity.key` | the node's secret keys, mode 0600; sealed under a passphrase with `hansa init --passphrase` |
| `node.db` | peers, datasets, jobs, audit log (SQLite) |
| `blobs/`, `jobs/` | sealed model shares, checkpoints, workers' logs |
| `correlations/` | sealed random numbers made ahead, for each set of parties: never put a copy back ([cli.md](cli.md)) |
| `tee/` | votes for code, what enclaves have shown of their state; at an enclave its sealed keys |
| `insecure-sealing.secret` | at a node that only pretends to be an enclave: what stands for its processor's key |
| `scores/`, `released/` | scores and models that were opened to this node |
| `admin.sock` | the admin socket, mode 0600 |

Where the path of `admin.sock` would be too long for the system (107 bytes on Linux), the socket lies in
`$XDG_RUNTIME_DIR/hansa-UID/` or `/tmp/hansa-UID/`, mode 0700, under a name made from the home's path.

A sealed identity is opened with the passphrase in `$HANSA_PASSPHRASE`, or `hansa run` asks for it at a terminal.

## Keys
"""

_PEERS = """\
### `[[peer]]`

A peer pinned by the settings, one section each; the usual way is `hansa peer invite` and `hansa peer join`.

| key | meaning |
|---|---|
| `name` | What this node calls it. |
| `key` | What `hansa status --key` prints there: identity and static key in hex, with a dot between. |
| `address` | Where it listens, `host:port`. |
"""


def configuration_markdown() -> str:
    """The page."""
    parts = [_HEAD]
    for section, kind in SECTIONS.items():
        rows = [f"| `{f.name}` | `{toml_value(f.default)}` | {f.metadata['doc']} |" for f in fields(kind)]
        parts.append("\n".join([f"### `[{section}]`", "", "| key | default | meaning |", "|---|---|---|", *rows, ""]))
    return "\n".join([*parts, _PEERS])


if __name__ == "__main__":
    print(configuration_markdown(), end="")
