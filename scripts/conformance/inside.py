"""What transformers computes inside the tiny checkpoints of test/data, in float64: hidden states between layers, router logits, what single experts make of a token.

    python inside.py ../../test/data

Writes inside.json beside each golden.json. Hidden states are those of the layers themselves: the last ones of `output_hidden_states` have been through the final norm.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

#: Positions that are kept.
KEPT = [0, 11, 23]
DIGITS = 7
#: Of the logits, from those of golden.json.
LARGEST_ERROR = 1e-5


def rounded(values: torch.Tensor) -> list:
    return [float(f"{value:.{DIGITS}g}") for value in values.flatten().tolist()]


def layers_of(model) -> torch.nn.ModuleList:
    return model.model.layers


def router_of(layer):
    """None: the layer is dense."""
    mlp = next((getattr(layer, name) for name in ("mlp", "block_sparse_moe", "feed_forward") if hasattr(layer, name)), None)
    return next((getattr(mlp, name) for name in ("gate", "router") if hasattr(mlp, name) and hasattr(mlp, "experts")), None)


def look(model, tokens: list[int]) -> tuple[dict, torch.Tensor]:
    hidden, logits, choices = [], {}, {}
    layers = layers_of(model)
    layers[0].register_forward_pre_hook(lambda _, args, kw: hidden.append(states(args, kw)), with_kwargs=True)
    for number, layer in enumerate(layers):
        layer.register_forward_hook(lambda _, __, out: hidden.append(out[0] if isinstance(out, tuple) else out))
        router = router_of(layer)
        if router is None:
            continue
        router.register_forward_pre_hook(lambda module, args, n=number: logits.update({n: routed(module, args[0])}))
        experts = next(m for name, m in layer.named_modules() if name.endswith("experts") and "shared" not in name)
        experts.register_forward_hook(lambda module, args, kw, _, n=number: keep(module, args, kw, n, choices), with_kwargs=True)
    with torch.no_grad():
        own = model(torch.tensor([tokens]), use_cache=False).logits[0]
    seen = {
        "positions": KEPT,
        "hidden": [[rounded(states[0, at]) for at in KEPT] for states in hidden],
        "moe_layers": list(logits),
        "router_logits": [[rounded(rows[at]) for at in KEPT] for rows in logits.values()],
        "experts": [indices[KEPT].tolist() for indices, _ in choices.values()],
        "expert_outputs": [[rounded(outputs[at]) for at in KEPT] for _, outputs in choices.values()],
    }
    return seen, own


def states(args, kwargs) -> torch.Tensor:
    return args[0] if args else kwargs["hidden_states"]


def routed(module, x: torch.Tensor) -> torch.Tensor:
    rows = x.reshape(-1, x.shape[-1])
    return torch.nn.functional.linear(rows, module.weight.to(rows.dtype), getattr(module, "bias", None))


def keep(module, args, kwargs, number: int, choices: dict) -> None:
    """Each choice alone, with weight 1."""
    if number in choices:  # the calls below
        return
    x, indices = args[0], args[1]
    choices[number] = (indices, None)
    x = x.reshape(-1, x.shape[-1])
    ones = torch.ones(len(x), 1, dtype=x.dtype)
    outputs = [module(x, indices[:, k : k + 1], ones).reshape(len(x), -1) for k in range(indices.shape[1])]
    choices[number] = (indices, torch.stack(outputs, 1))


def main(data: Path) -> None:
    for folder in sorted(data.glob("tiny-*")):
        golden = json.loads((folder / "golden.json").read_text())
        try:
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager"
            )
        except Exception as error:
            print(f"{folder.name}: {type(error).__name__}: {error}".splitlines()[0])
            continue
        seen, logits = look(model.eval(), golden["prompt_token_ids"])
        error = (logits - torch.tensor(golden["logits"], dtype=torch.float64)).abs().max().item()
        if error > LARGEST_ERROR:
            print(f"{folder.name}: transformers computes its stored format otherwise, {error:.1e} away; left out")
            continue
        (folder / "inside.json").write_text(json.dumps(seen) + "\n")
        print(f"{folder.name}: {len(seen['hidden'])} places, {len(seen['moe_layers'])} MoE layers", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
