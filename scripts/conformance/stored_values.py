"""Small tensors of every format that PyTorch and compressed-tensors know, as they are stored and as they decode: test/data/formats/values.json.

    python stored_values.py ../../test/data/formats    # needs compressed-tensors beside requirements.txt
"""

import base64
import json
import sys
from pathlib import Path

import torch
from compressed_tensors.compressors.mx_utils import decompress_mx_scale
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

ROWS, COLUMNS, GROUP = 12, 64, 32
DTYPES = {
    torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int32: "I32", torch.int8: "I8",
    torch.uint8: "U8", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e8m0fnu: "F8_E8M0",
}


def stored(tensor):
    raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data": base64.b64encode(raw).decode()}


def floats(tensor):
    return base64.b64encode(tensor.to(torch.float32).contiguous().numpy().tobytes()).decode()


def codes(dtype):
    """The value of each code, or null for what is no number."""
    values = torch.arange(256, dtype=torch.uint8).view(dtype).to(torch.float32)
    return [value if value == value else None for value in values.tolist()]


def case(name, tensors, expected):
    return {"name": name, "tensors": {key: stored(value) for key, value in tensors.items()}, "expected": floats(expected)}


def integers(bits, strategy, symmetric, dtype, generator):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    values = torch.randint(low, high + 1, (ROWS, COLUMNS), generator=generator, dtype=torch.int32).to(torch.int8)
    groups = COLUMNS // GROUP if strategy == "group" else 1
    scale = torch.rand(ROWS, groups, generator=generator).add(0.1).to(dtype)
    zero = torch.zeros(ROWS, groups, dtype=torch.int8)
    tensors = {
        "weight_packed": pack_to_int32(values, bits), "weight_scale": scale,
    }
    if not symmetric:
        zero = torch.randint(low, high + 1, (ROWS, groups), generator=generator, dtype=torch.int32).to(torch.int8)
        tensors["weight_zero_point"] = pack_to_int32(zero, bits, packed_dim=0)
    each = lambda tensor: tensor.to(torch.float32).repeat_interleave(COLUMNS // groups, dim=1)
    name = f"int{bits} {strategy} {'symmetric' if symmetric else 'asymmetric'} {DTYPES[dtype]}"
    return case(name, tensors, (values.to(torch.float32) - each(zero)) * each(scale))


def main(folder):
    generator = torch.Generator().manual_seed(18)
    cases = []
    for bits in (4, 8):
        for strategy in ("group", "channel"):
            for symmetric in (True, False):
                dtype = {"group": torch.bfloat16, "channel": torch.float16}[strategy]
                cases.append(integers(bits, strategy, symmetric, dtype, generator))
    fp8 = torch.randint(0, 127, (ROWS, COLUMNS), generator=generator, dtype=torch.int32).to(torch.uint8).view(torch.float8_e4m3fn)
    for name, scale in (
        ("fp8 of all", torch.tensor(0.37)),
        ("fp8 of rows", torch.rand(ROWS, 1, generator=generator).to(torch.bfloat16)),
        ("fp8 of rows, one dimension", torch.rand(ROWS, generator=generator)),
        ("fp8 of groups", torch.rand(ROWS, COLUMNS // GROUP, generator=generator)),
    ):
        scales = scale.to(torch.float32).reshape(-1, 1) if scale.ndim < 2 else scale.to(torch.float32)
        each = scales.repeat_interleave(COLUMNS // scales.shape[1], dim=1)
        cases.append(case(name, {"weight": fp8, "weight_scale": scale}, fp8.to(torch.float32) * each))
    packed = torch.arange(256, dtype=torch.int32).to(torch.uint8)  # each pair of codes
    packed = packed.repeat(ROWS * COLUMNS // 512 + 1)[: ROWS * COLUMNS // 2].reshape(ROWS, COLUMNS // 2)
    values = unpack_fp4_from_uint8(packed, ROWS, COLUMNS, dtype=torch.float32)
    scale = torch.randint(8, 127, (ROWS, COLUMNS // 16), generator=generator, dtype=torch.int32).to(torch.uint8).view(torch.float8_e4m3fn)
    whole = torch.tensor([1234.5])
    each = lambda factor: values * factor.repeat_interleave(16, dim=1)
    floating = scale.to(torch.float32)
    tensors = {"weight_packed": packed, "weight_scale": scale, "weight_global_scale": whole}
    cases.append(case("nvfp4 of compressed-tensors", tensors, each(floating / whole)))
    whole = torch.tensor(0.00321)
    cases.append(case("nvfp4 of modelopt", {"weight": packed, "weight_scale": scale, "weight_scale_2": whole}, each(floating * whole)))
    exponents = torch.randint(1, 250, (ROWS, COLUMNS // GROUP), generator=generator, dtype=torch.int32).to(torch.uint8)
    factor = decompress_mx_scale(exponents).to(torch.float32)
    tensors = {"weight_packed": packed, "weight_scale": exponents}
    cases.append(case("mxfp4 of compressed-tensors", tensors, values * factor.repeat_interleave(GROUP, dim=1)))
    cases.append(case("mxfp8", {"weight": fp8, "weight_scale": exponents}, fp8.to(torch.float32) * factor.repeat_interleave(GROUP, dim=1)))
    table = {"F8_E4M3": codes(torch.float8_e4m3fn), "F8_E8M0": codes(torch.float8_e8m0fnu)}
    path = Path(folder) / "values.json"
    path.write_text(json.dumps({"torch": torch.__version__, "rows": ROWS, "columns": COLUMNS, "codes": table, "cases": cases}) + "\n")


main(sys.argv[1])
