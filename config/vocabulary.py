"""The words a job is made of, and their bounds: job files, policies and contracts all read them here."""

from __future__ import annotations

PREPROCESSING = "correlations"
"""A job that makes random numbers ahead for later jobs of the same parties: without data, and nothing is opened."""
KINDS = ("train", "predict", "release", PREPROCESSING)
NORMALISATIONS = ("exact", "trim", "trim-casefold")
SCORES = ("label-owner", "all", "none")
WEIGHTS = ("owner", "all")
METRICS = ("all", "label-owner")
IMPORTANCE = ("owner", "all", "none")
TRAINING_METRIC = ("none", "label-owner", "all")
ENCLAVE = "enclave"
"""The engine that trains in plain inside attested hardware."""
LEAST_PARTIES = {"additive": 2, "replicated": 3, ENCLAVE: 2}
"""How many parties each engine takes at least."""
COMPUTING_PARTIES = {"replicated": 3}
"""How many parties compute where an engine fixes that; further ones share their inputs in and receive."""
MOST_PARTIES = 16
ENGINES = tuple(LEAST_PARTIES)
MPC_ENGINES = tuple(engine for engine in ENGINES if engine != ENCLAVE)
AUTO = "auto"
"""In a job file: the safest engine that fits."""
ROLES = ("party", "dealer", "enclave")
"""What a node can be in a job; a dealer and an enclave have no data of their own in it."""
ATTESTED = "tee:"
"""In a job file before the name of a peer that must prove by its hardware what code it runs."""
BACKENDS = ("gramine", "tsm", "sev-guest", "insecure-simulated")
"""What a node can prove its code by."""
FRAC_BITS = 18
"""Of features, weights and residuals, in every contract: the bounds of a training step (algorithms.lr.step_size) rest on it."""

SUITES = ("AESGCM_SHA256", "AESGCM_BLAKE2b", "ChaChaPoly_BLAKE2b", "ChaChaPoly_SHA256")
"""Suites a channel can speak, fastest first; each is the cipher and hash of a Noise protocol name."""
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""What can name a node or a dataset, as a regular expression."""
HOST = r"(?:[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])"
ADDRESS = rf"{HOST}:[1-9][0-9]{{0,4}}"
"""``host:port`` but for the port's greatest value; IPv6 in brackets."""
MOST_ADDRESSES = 8
"""Addresses one node may have."""
PRINTABLE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
"""No control characters and no bidirectional overrides: what a peer names must not rewrite a screen."""
