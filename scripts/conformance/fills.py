"""Bytes of tensors of any element type that need no file: each element is a function of the tensor's name and its index.

test/kit/model/stored_fills.ts writes the same bytes; neither side needs the other's idea of what they stand for.

A fill is {"kind": KIND, ...}:
- "value": float32 of weights.py; dtype F32, or BF16 and F16, whose bits are cut off behind the eighth of the mantissa.
- "code": any byte (U8, I8) or any word (I32). "fp8": any byte that isn't NaN in E4M3.
- "scale", with "size": size · {1, 1.125, …, 1.875}, exact in F32, BF16 and F16 if size is a power of two.
- "exponent", with "center": center − 2 … center + 1, a byte. "fp8 scale": a byte from 0x30 to 0x3f, which are 0.5 … 1.875 in E4M3.
- "below", with "limit": whole numbers. "ascending", with "run": so many of each. "list", with "values": these.
"""

import numpy as np

from weights import values, words

NUMPY = {"F32": np.float32, "F16": np.float16, "I32": np.int32, "I64": np.int64, "U8": np.uint8, "I8": np.int8, "F8_E4M3": np.uint8, "F8_E8M0": np.uint8, "BF16": np.uint16}


def filled(name: str, dtype: str, shape: list[int], fill: dict) -> np.ndarray:
    """The elements; those of types that numpy lacks as their bits."""
    count = int(np.prod(shape))
    hashed = words(name, count)
    kind = fill["kind"]
    if kind == "value":
        flat = _floats(values(name, tuple(shape)).ravel(), dtype)
    elif kind == "code":
        flat = hashed.astype(np.uint32).view(np.int32) if dtype == "I32" else (hashed >> np.uint64(24)).astype(np.uint8).view(NUMPY[dtype])
    elif kind == "fp8":
        flat = (hashed >> np.uint64(24)).astype(np.uint8)
        flat = np.where((flat & 0x7F) == 0x7F, flat - 1, flat)
    elif kind == "scale":
        flat = _floats((fill["size"] * (1 + (hashed >> np.uint64(29)).astype(np.float64) / 8)).astype(np.float32), dtype)
    elif kind == "exponent":
        flat = fill["center"] - 2 + (hashed >> np.uint64(30)).astype(np.int64)
    elif kind == "fp8 scale":
        flat = 0x30 + (hashed >> np.uint64(28)).astype(np.int64)
    elif kind == "below":
        flat = hashed % np.uint64(fill["limit"])
    elif kind == "ascending":
        flat = np.arange(count) // fill["run"]
    else:
        flat = np.array(fill["values"])
    return flat.astype(NUMPY[dtype]).reshape(shape)


def _floats(floats: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "F32":
        return floats
    short = (floats.view(np.uint32) >> np.uint32(16)) << np.uint32(16)
    return (short >> np.uint32(16)).astype(np.uint16) if dtype == "BF16" else short.view(np.float32).astype(np.float16)


def as_float(elements: np.ndarray, dtype: str) -> np.ndarray:
    """float64 of elements of a float type."""
    if dtype == "BF16":
        return (elements.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    if dtype == "F8_E4M3":
        return E4M3[elements]
    if dtype == "F8_E8M0":
        return 2.0 ** (elements.astype(np.float64) - 127)
    return elements.astype(np.float64)


def _e4m3(code: int) -> float:
    sign, exponent, mantissa = code >> 7, code >> 3 & 15, code & 7
    if exponent == 15 and mantissa == 7:
        return float("nan")
    size = mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return -size if sign else size


E4M3 = np.array([_e4m3(code) for code in range(256)])
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
