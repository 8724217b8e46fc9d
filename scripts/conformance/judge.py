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
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from cases import Family
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
    #: How far logits of float32 are away, of the largest logit: large where a choice hangs on the last bits.
    float32_error: float


class Judge:
    def __init__(self, tokens: list[int], family: Family):
        self.tokens = tokens
        self.family = family

    def run(self, config: dict, extra: Shapes) -> Run:
        with tempfile.TemporaryDirectory() as folder:
            model, shapes = self._model(Path(folder), config, extra)
            experts: list = []
            for name, module in model.named_modules():
                if type(module).__name__ == "TopKGate":
                    module.register_forward_hook(lambda _, args, gated: experts.append(_routes(gated)))
                elif name.endswith(".experts") and not name.endswith("deepspeed_moe.experts"):
                    module.register_forward_pre_hook(lambda _, args: experts.append(args[1].sort(-1).values.tolist()))
            logits, chosen = self.logits(model, self.tokens), list(experts)
            error = np.abs(self.logits(model.float(), self.tokens) - logits).max() / np.abs(logits).max()
            return Run(shapes, logits, chosen, error)

    def greedy(self, config: dict, shapes: Shapes, count: int) -> list[int]:
        """At most `count` tokens, fewer where two are about equally likely."""
        with tempfile.TemporaryDirectory() as folder:
            model, _ = self._model(Path(folder), config, {}, shapes)
            tokens = list(self.tokens)
            while len(tokens) < len(self.tokens) + count:
                last = self.logits(model, tokens)[-1]
                second, first = np.sort(last)[-2:]
                if first - second < MARGIN:
                    break
                tokens.append(int(last.argmax()))
            return tokens[len(self.tokens) :]

    def shapes(self, config: dict) -> Shapes:
        """Of the checkpoint that transformers writes."""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(json.dumps(self._judged(config)))
            return self._shapes(_auto(config), Path(folder))

    def _model(self, folder: Path, config: dict, extra: Shapes, known: Shapes | None = None):
        (folder / "config.json").write_text(json.dumps(self._judged(config)))
        auto = _auto(config)
        shapes = known or {**self._shapes(auto, folder), **extra}
        save_file({name: values(name, tuple(shape)) for name, shape in shapes.items()}, folder / "model.safetensors")
        model = auto.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager")
        return model.eval(), shapes

    def _judged(self, config: dict) -> dict:
        own, within = {"model_type": self.family.judge}, self.family.within
        if self.family.judge is None:
            return config
        return {**config, **own} if within is None else {**config, within: {**config[within], **own}}

    def _shapes(self, auto, config_dir: Path) -> Shapes:
        """Names and shapes of a checkpoint of this configuration, as transformers writes one."""
        model = auto.from_config(AutoConfig.from_pretrained(config_dir))
        with tempfile.TemporaryDirectory() as saved:
            model.save_pretrained(saved)
            with safe_open(Path(saved) / "model.safetensors", "np") as file:
                return {self._published(name): list(file.get_slice(name).get_shape()) for name in file.keys()}

    def _published(self, name: str) -> str:
        for written, published in self.family.published.items():
            name = name.replace(written, published)
        return name

    @staticmethod
    def logits(model, tokens: list[int]) -> np.ndarray:
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0]
        if not torch.isfinite(logits).all():
            raise ValueError("logits are not finite")
        return logits.numpy()


def _routes(gated) -> list[list[int]]:
    """Of what DeepSpeed's gate gives: with weights [tokens, experts, places], or with indices [choices, tokens]."""
    chosen = [each for each in gated if isinstance(each, torch.Tensor) and each.dim() > 1]
    if chosen[0].dim() == 2:
        return chosen[0].T.sort(-1).values.tolist()
    return [row.nonzero().flatten().tolist() for row in chosen[0].sum(-1)]


def _auto(config: dict):
    return AutoModelForImageTextToText if "vision_config" in config else AutoModelForCausalLM
