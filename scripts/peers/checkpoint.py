"""The tensors of a model folder's safetensors, as float32."""
import glob
import json
import os
import struct

import numpy as np


class Checkpoint:
    """Reads a tensor when it is asked for: `checkpoint[name]`. KeyError, or SystemExit where its element type isn't one of numbers as they are."""

    def __init__(self, folder):
        self.where = {}
        files = sorted(glob.glob(os.path.join(folder, "*.safetensors")))
        if not files:
            raise SystemExit(f"{folder} has no safetensors")
        for path in files:
            with open(path, "rb") as file:
                (size,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(size))
            header.pop("__metadata__", None)
            self.where.update({name: (path, 8 + size, info) for name, info in header.items()})

    def __contains__(self, name):
        return name in self.where

    def __getitem__(self, name):
        path, start, info = self.where[name]
        begin, end = info["data_offsets"]
        stored = {"F32": np.float32, "BF16": np.uint16, "F16": np.float16}.get(info["dtype"])
        if stored is None:
            raise SystemExit(f"{name} is {info['dtype']}: quantised checkpoints aren't written")
        values = np.fromfile(path, dtype=stored, count=(end - begin) // np.dtype(stored).itemsize, offset=start + begin)
        if info["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32, copy=False).reshape(info["shape"])
