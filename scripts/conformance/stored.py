"""Layouts of quantised weights: for a matrix [out, in] the tensors that a file holds, and what they stand for, in numpy and float64.

Each layout is a function of (module, rows, columns) → {tensor: (dtype, shape, fill)} and one of the filled tensors → [rows, columns].
Sources: the readers of these formats in vLLM, compressed-tensors 0.20, AutoAWQ 0.2.9, GPTQModel, DeepSeek-V3's inference code and transformers.
"""

from dataclasses import dataclass
from typing import Callable

import numpy as np

from fills import E2M1, as_float, filled

#: name: (dtype, shape, fill)
Tensors = dict[str, tuple[str, list[int], dict]]


@dataclass(frozen=True)
class Layout:
    tensors: Callable[[str, int, int], Tensors]
    decode: Callable[["Loaded", int, int], np.ndarray]


class Loaded:
    """The tensors of one module, by what follows its name."""

    def __init__(self, module: str, tensors: Tensors):
        self._elements = {name[len(module) :]: filled(name, *each) for name, each in tensors.items()}
        self._dtypes = {name[len(module) :]: dtype for name, (dtype, _, _) in tensors.items()}

    def raw(self, suffix: str) -> np.ndarray:
        return self._elements[suffix]

    def has(self, suffix: str) -> bool:
        return suffix in self._elements

    def floats(self, suffix: str) -> np.ndarray:
        return as_float(self._elements[suffix], self._dtypes[suffix])


def _pow2(x: float) -> float:
    return 2.0 ** round(np.log2(x))


def _scale_size(code_size: float, columns: int) -> float:
    """Such that weights of codes of this size keep the size of what they multiply."""
    return _pow2(1 / (1.4 * code_size * np.sqrt(columns)))


def fp8_blocks(suffix: str, dtype: str, block: int = 128) -> Layout:
    def tensors(module, rows, columns):
        size = _scale_size(100, columns)
        fill = {"kind": "exponent", "center": 127 + int(np.log2(size))} if dtype == "F8_E8M0" else {"kind": "scale", "size": size}
        blocks = [-(-rows // block), -(-columns // block)]
        return {f"{module}.weight": ("F8_E4M3", [rows, columns], {"kind": "fp8"}), f"{module}{suffix}": (dtype, blocks, fill)}

    def decode(loaded, rows, columns):
        scales = loaded.floats(suffix).repeat(block, 0).repeat(block, 1)[:rows, :columns]
        return loaded.floats(".weight") * scales

    return Layout(tensors, decode)


def fp8(strategy: str, dtype: str = "F32") -> Layout:
    def tensors(module, rows, columns):
        shape = {"channel": [rows, 1], "tensor": [1], "scalar": []}[strategy]
        return {
            f"{module}.weight": ("F8_E4M3", [rows, columns], {"kind": "fp8"}),
            f"{module}.weight_scale": (dtype, shape, {"kind": "scale", "size": _scale_size(100, columns)}),
            # Of activations, which stay as they are.
            **({} if strategy == "channel" else {f"{module}.input_scale": (dtype, shape, {"kind": "scale", "size": 0.25})}),
        }

    return Layout(tensors, lambda loaded, rows, columns: loaded.floats(".weight") * loaded.floats(".weight_scale"))


def packed_ints(bits: int, group: int | None, *, zeros=False, order=False, dtype="BF16") -> Layout:
    """compressed-tensors' pack-quantized: codes are offset by half their range."""
    per_word = 32 // bits

    def tensors(module, rows, columns):
        groups = 1 if group is None else -(-columns // group)
        size = _scale_size(2**bits / 3.5, columns)
        return {
            f"{module}.weight_packed": ("I32", [rows, columns // per_word], {"kind": "code"}),
            f"{module}.weight_scale": (dtype, [rows, groups], {"kind": "scale", "size": size}),
            f"{module}.weight_shape": ("I64", [2], {"kind": "list", "values": [rows, columns]}),
            **({f"{module}.weight_zero_point": ("I32", [rows // per_word, groups], {"kind": "code"})} if zeros else {}),
            **({f"{module}.weight_g_idx": ("I32", [columns], {"kind": "below", "limit": groups})} if order else {}),
        }

    def decode(loaded, rows, columns):
        codes = _unpacked(loaded.raw(".weight_packed"), bits, 1) - 2 ** (bits - 1)
        scales = loaded.floats(".weight_scale")
        of_column = loaded.raw(".weight_g_idx") if order else np.arange(columns) // (group or columns)
        zero = _unpacked(loaded.raw(".weight_zero_point"), bits, 0)[:, of_column] - 2 ** (bits - 1) if zeros else 0
        return (codes - zero) * scales[:, of_column]

    return Layout(tensors, decode)


def int8_channels() -> Layout:
    def tensors(module, rows, columns):
        return {
            f"{module}.weight": ("I8", [rows, columns], {"kind": "code"}),
            f"{module}.weight_scale": ("BF16", [rows, 1], {"kind": "scale", "size": _scale_size(74, columns)}),
        }

    return Layout(tensors, lambda loaded, rows, columns: loaded.raw(".weight").astype(np.float64) * loaded.floats(".weight_scale"))


def awq(group: int) -> Layout:
    def tensors(module, rows, columns):
        return {
            f"{module}.qweight": ("I32", [columns, rows // 8], {"kind": "code"}),
            f"{module}.qzeros": ("I32", [columns // group, rows // 8], {"kind": "code"}),
            f"{module}.scales": ("F16", [columns // group, rows], {"kind": "scale", "size": _scale_size(6.5, columns)}),
        }

    def decode(loaded, rows, columns):
        # Nibble i of a word holds the output that stands at this place.
        place = [0, 2, 4, 6, 1, 3, 5, 7]

        def outputs(words):
            ordered = np.empty((words.shape[0], words.shape[1], 8), np.int64)
            ordered[:, :, place] = _unpacked(words, 4, 1).reshape(words.shape[0], words.shape[1], 8)
            return ordered.reshape(words.shape[0], rows)

        of_column = np.arange(columns) // group
        return ((outputs(loaded.raw(".qweight")) - outputs(loaded.raw(".qzeros"))[of_column]) * loaded.floats(".scales")[of_column]).T

    return Layout(tensors, decode)


def gptq(bits: int, group: int, *, order=False, zero_offset=1) -> Layout:
    per_word = 32 // bits

    def tensors(module, rows, columns):
        groups = -(-columns // group)
        index = {"kind": "below", "limit": groups} if order else {"kind": "ascending", "run": group}
        return {
            f"{module}.qweight": ("I32", [columns // per_word, rows], {"kind": "code"}),
            f"{module}.qzeros": ("I32", [groups, rows // per_word], {"kind": "code"}),
            f"{module}.scales": ("F16", [groups, rows], {"kind": "scale", "size": _scale_size(2**bits * 0.41, columns)}),
            f"{module}.g_idx": ("I32", [columns], index),
        }

    def decode(loaded, rows, columns):
        group_of = loaded.raw(".g_idx")
        zeros = (_unpacked(loaded.raw(".qzeros"), bits, 1) + zero_offset) % 2**bits
        codes = _unpacked(loaded.raw(".qweight"), bits, 0)
        return ((codes - zeros[group_of]) * loaded.floats(".scales")[group_of]).T

    return Layout(tensors, decode)


def nvfp4(of: str) -> Layout:
    """of: modelopt or compressed-tensors, which name tensors otherwise and store the overall scale's inverse."""
    is_modelopt = of == "modelopt"
    packed, overall = (".weight", ".weight_scale_2") if is_modelopt else (".weight_packed", ".weight_global_scale")

    def tensors(module, rows, columns):
        size = _scale_size(3, columns)
        return {
            module + packed: ("U8", [rows, columns // 2], {"kind": "code"}),
            f"{module}.weight_scale": ("F8_E4M3", [rows, columns // 16], {"kind": "fp8 scale"}),
            module + overall: ("F32", [] if is_modelopt else [1], {"kind": "scale", "size": size if is_modelopt else 1 / size}),
            f"{module}.{'input_scale' if is_modelopt else 'input_global_scale'}": ("F32", [] if is_modelopt else [1], {"kind": "scale", "size": 0.25}),
        }

    def decode(loaded, rows, columns):
        scale = loaded.floats(overall) if is_modelopt else 1 / loaded.floats(overall)
        return E2M1[_nibbles(loaded.raw(packed))] * (loaded.floats(".weight_scale") * scale).repeat(16, 1)

    return Layout(tensors, decode)


def _unpacked(words: np.ndarray, bits: int, axis: int) -> np.ndarray:
    """Codes of words of 32 bits, the lowest bits first, in place of the words along an axis."""
    unsigned = words.view(np.uint32)
    codes = np.stack([(unsigned >> np.uint32(shift)) & np.uint32(2**bits - 1) for shift in range(0, 32, bits)], axis + 1)
    shape = list(words.shape)
    shape[axis] *= 32 // bits
    return codes.reshape(shape).astype(np.int64)


def _nibbles(packed: np.ndarray) -> np.ndarray:
    return np.stack([packed & 15, packed >> 4], -1).reshape(*packed.shape[:-1], -1)


def mxfp4_experts(name: str, experts: int, rows: int, columns: int) -> tuple[Tensors, np.ndarray]:
    """gpt-oss's experts in one tensor: blocks of 32, low nibbles first; as [experts, columns, rows], which transformers has in memory."""
    center = 127 + int(np.log2(_scale_size(3, columns)))
    tensors = {
        f"{name}_blocks": ("U8", [experts, rows, columns // 32, 16], {"kind": "code"}),
        f"{name}_scales": ("U8", [experts, rows, columns // 32], {"kind": "exponent", "center": center}),
    }
    loaded = Loaded(name, tensors)
    values = E2M1[_nibbles(loaded.raw("_blocks"))] * 2.0 ** (loaded.raw("_scales").astype(np.float64)[..., None] - 127)
    return tensors, values.reshape(experts, rows, columns).swapaxes(1, 2)
