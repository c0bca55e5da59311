"""The hash against a plain reference, AES against FIPS 197, sigma against what its proof asks for."""

from __future__ import annotations

import os

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from hansa.protocols.mpc.kernels import ot as kernels
from hansa.protocols.mpc.ot.hash import Permutation, session_key

KEY = bytes(range(16))
MASK = 2**64 - 1


def test_the_permutation_is_aes_128() -> None:
    """FIPS 197, appendix C.1."""
    block = np.frombuffer(bytes.fromhex("00112233445566778899aabbccddeeff"), dtype=np.uint64).reshape(1, 2).copy()
    assert Permutation(KEY, 1)(block).tobytes().hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"


def planes_of(rows: list[tuple[int, int]]) -> np.ndarray:
    """Planes whose element e is row e, 512 elements: plane k is bit k of the left half, plane 64 + k of the right."""
    planes = np.zeros((1, 8 * 128 + 8), dtype=np.uint64)
    for element, (left, right) in enumerate(rows):
        word, bit = divmod(element, 64)
        for k in range(64):
            planes[0, 8 * k + word] |= np.uint64((left >> k & 1) << bit)
            planes[0, 8 * (64 + k) + word] |= np.uint64((right >> k & 1) << bit)
    return planes


def reference(left: int, right: int, tweak: int) -> bytes:
    mixed = ((left ^ right ^ tweak) | left << 64).to_bytes(16, "little")
    encryptor = Cipher(AES(KEY), ECB()).encryptor()
    return bytes(a ^ b for a, b in zip(encryptor.update(mixed), mixed, strict=True))


def test_planes_hash_to_what_the_definition_says() -> None:
    rows = [(int.from_bytes(os.urandom(8), "little"), int.from_bytes(os.urandom(8), "little")) for _ in range(512)]
    inputs = np.empty((512, 2), dtype=np.uint64)
    kernels.hash_inputs(planes_of(rows), 1000, inputs)
    out = np.empty((512, 2), dtype=np.uint64)
    kernels.pad_keys(inputs, Permutation(KEY, 512)(inputs), 0, out)
    for element in (0, 1, 63, 64, 65, 300, 511):
        j, lane = element % 64, element // 64
        assert out[element].tobytes() == reference(*rows[element], 1000 + 8 * j + lane)


def test_pads_are_taken_the_same_way_as_words_planes_and_keys() -> None:
    before, after = (np.frombuffer(bytearray(os.urandom(1024 * 16)), dtype=np.uint64).reshape(-1, 2) for _ in range(2))
    words, keys = np.empty(1000, dtype=np.uint64), np.empty((1000, 2), dtype=np.uint64)
    planes = np.empty((64, 16), dtype=np.uint64)
    kernels.pad_words(before, after, 0, words)
    kernels.pad_keys(before, after, 0, keys)
    kernels.pad_planes(before, after, 0, planes)
    assert np.array_equal(words, keys[:, 0])
    assert np.array_equal(kernels.join_bits(planes, 1000), words)
    assert {row.tobytes() for row in keys} <= {row.tobytes() for row in before ^ after}


def test_sigma_is_a_linear_orthomorphism() -> None:
    """x -> sigma(x) and x -> sigma(x) ^ x are both invertible: 128 x 128 bit matrices of full rank."""
    images = []
    for bit in range(128):
        x = 1 << bit
        left, right = x & MASK, x >> 64
        images.append((left ^ right) | left << 64)
    assert rank(images) == 128
    assert rank([image ^ (1 << bit) for bit, image in enumerate(images)]) == 128


def rank(vectors: list[int]) -> int:
    basis: dict[int, int] = {}
    for vector in vectors:
        rest = vector
        while rest and rest.bit_length() in basis:
            rest ^= basis[rest.bit_length()]
        if rest:
            basis[rest.bit_length()] = rest
    return len(basis)


def test_every_session_direction_and_use_has_its_own_permutation() -> None:
    keys = {session_key(context, use) for context in (b"", b"a", b"ab") for use in (b"", b"b", b"bb")}
    assert len(keys) == 9
