"""Weights that need no file: a value for every element, from the tensor's name and the element's index alone.

test/kit/model/conformance.ts computes the same values, so a golden file holds a configuration and logits, and no checkpoint.
"""

import numpy as np

_MASK = np.uint64(0xFFFFFFFF)


def _fnv1a(text: str) -> int:
    h = 0x811C9DC5
    for byte in text.encode():
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    return h


def words(name: str, count: int) -> np.ndarray:
    """`count` whole numbers below 2^32."""
    x = (np.uint64(_fnv1a(name)) + np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B9)) & _MASK
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(0x7FEB352D)) & _MASK
    x ^= x >> np.uint64(15)
    x = (x * np.uint64(0x846CA68B)) & _MASK
    return x ^ (x >> np.uint64(16))


def _uniform(name: str, count: int) -> np.ndarray:
    """`count` numbers in [-0.5, 0.5), multiples of 2^-24: exact in float32."""
    return (words(name, count) >> np.uint64(8)).astype(np.float64) / 2**24 - 0.5


def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 of `shape`. Matrices keep the size of what they multiply; norms are near 1, biases near 0."""
    u = _uniform(name, int(np.prod(shape)))
    if name.endswith("norm.weight"):
        scaled = 1 + u
    elif len(shape) == 1 or name.endswith("bias"):
        scaled = 0.5 * u
    else:
        scaled = u * np.float64(np.float32(3.5 / np.sqrt(shape[-1])))
    return scaled.astype(np.float32).reshape(shape)
