"""Runs a configuration in transformers, in float64, with the weights of weights.py."""

import json
import logging
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.numpy import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from tensors import Shapes
from weights import values

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.manual_seed(0)
torch.set_num_threads(1)

#: Tokens are golden where the largest logit is ahead of the next by more than this.
MARGIN = 1e-3


@dataclass(frozen=True)
class Run:
    shapes: Shapes
    #: [T, V]
    logits: np.ndarray
    #: [MoE layer][T], each ascending
    experts: list[list[list[int]]]


class Judge:
    def __init__(self, tokens: list[int], model_type: str | None = None):
        """model_type: instead of the configuration's own."""
        self.tokens = tokens
        self.model_type = model_type

    def run(self, config: dict, extra: Shapes) -> Run:
        with tempfile.TemporaryDirectory() as folder:
            model, shapes = self._model(Path(folder), config, extra)
            experts: list = []
            for name, module in model.named_modules():
                if name.endswith(".experts"):
                    module.register_forward_pre_hook(lambda _, args: experts.append(args[1].sort(-1).values.tolist()))
            return Run(shapes, self._logits(model, self.tokens), experts)

    def greedy(self, config: dict, shapes: Shapes, count: int) -> list[int]:
        """At most `count` tokens, fewer where two are about equally likely."""
        with tempfile.TemporaryDirectory() as folder:
            model, _ = self._model(Path(folder), config, {}, shapes)
            tokens = list(self.tokens)
            while len(tokens) < len(self.tokens) + count:
                last = self._logits(model, tokens)[-1]
                second, first = np.sort(last)[-2:]
                if first - second < MARGIN:
                    break
                tokens.append(int(last.argmax()))
            return tokens[len(self.tokens) :]

    def _model(self, folder: Path, config: dict, extra: Shapes, known: Shapes | None = None):
        judged = {**config, "model_type": self.model_type} if self.model_type else config
        (folder / "config.json").write_text(json.dumps(judged))
        shapes = known or {**_shapes(folder), **extra}
        save_file({name: values(name, tuple(shape)) for name, shape in shapes.items()}, folder / "model.safetensors")
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager")
        return model.eval(), shapes

    @staticmethod
    def _logits(model, tokens: list[int]) -> np.ndarray:
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0]
        if not torch.isfinite(logits).all():
            raise ValueError("logits are not finite")
        return logits.numpy()


def _shapes(config_dir: Path) -> Shapes:
    """Names and shapes of a checkpoint of this configuration, as transformers writes one."""
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(config_dir))
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        with safe_open(Path(saved) / "model.safetensors", "np") as file:
            return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}
