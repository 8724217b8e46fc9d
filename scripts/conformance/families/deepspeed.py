"""Llama's blocks around DeepSpeed's own MoE layer, which transformers doesn't have: the model is put together here, and the layer is that of the library."""

import torch
import torch.distributed
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaMLP

from cases import ABSENT, SHARED, SMALL, Family, case, one_by_one, rope_cases

DEEPSPEED_MOE = dict(
    **SMALL,
    model_type="deepspeed_moe",
    num_key_value_heads=2,
    head_dim=12,
    intermediate_size=20,
    num_experts=[4, 4, 8],
    expert_interval=1,
    num_experts_per_tok=2,
    mlp_type="residual",
)


class DeepspeedMoeConfig(LlamaConfig):
    model_type = "deepspeed_moe"
    num_experts: int | list[int] = 1
    expert_interval: int = 2
    num_experts_per_tok: int = 1
    mlp_type: str = "standard"
    drop_tokens: bool = False
    top2_2nd_expert_sampling: bool = False


class DeepspeedMlp(torch.nn.Module):
    """The layer without its loss and counts. Capacities are of training alone: no token is dropped."""

    def __new__(cls, config: DeepspeedMoeConfig, num_experts: int):
        from deepspeed.moe.layer import MoE  # is there where this family is judged

        class Layer(MoE):
            def forward(self, hidden_states):
                return super().forward(hidden_states)[0]

        layer = Layer(
            config.hidden_size,
            LlamaMLP(config),
            num_experts,
            k=config.num_experts_per_tok,
            min_capacity=0,
            use_residual=config.mlp_type == "residual",
            drop_tokens=config.drop_tokens,
            top2_2nd_expert_sampling=config.top2_2nd_expert_sampling,
        )
        _alone()
        layer.set_deepspeed_parallelism()
        return layer


def _alone() -> None:
    """A group of one process, which the layer exchanges tokens with."""
    import deepspeed

    if torch.distributed.is_initialized():
        return
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    deepspeed.init_distributed("gloo", auto_mpi_discovery=False, verbose=False)


class DeepspeedMoeForCausalLM(LlamaForCausalLM):
    config_class = DeepspeedMoeConfig

    def __init__(self, config: DeepspeedMoeConfig):
        super().__init__(config)
        for layer, count in zip(self.model.layers, counts_of(config), strict=True):
            if count > 1:
                layer.mlp = DeepspeedMlp(config, count)
        self.post_init()


def counts_of(config: DeepspeedMoeConfig) -> list[int]:
    """As Megatron-DeepSpeed deals `--num-experts` out over its layers."""
    interval = config.expert_interval
    given = config.num_experts if isinstance(config.num_experts, list) else [config.num_experts]
    places = config.num_hidden_layers // interval
    assert len(given) in (1, places), "num_experts must be either a single value or a list of the same length as the number of MoE layers"
    listed = given * places if len(given) == 1 else given
    return [listed[layer // interval] if (layer + 1) % interval == 0 else 1 for layer in range(config.num_hidden_layers)]


AutoConfig.register("deepspeed_moe", DeepspeedMoeConfig)
AutoModelForCausalLM.register(DeepspeedMoeConfig, DeepspeedMoeForCausalLM)


def deepspeed_moe():
    yield case("base")
    yield from one_by_one(
        **SHARED,
        num_key_value_heads=[1, 4, None, ABSENT],
        head_dim=[8, None, ABSENT],
        intermediate_size=[12],
        num_experts=[6, [2, 4, 6], [1, 4, 8], [8, 1, 2], 1, [4, 8], [4, 4, 8, 8], 0, ABSENT],
        num_experts_per_tok=[1, 3, 4, 5, ABSENT],
        mlp_type=["standard", ABSENT],
        drop_tokens=[False, True],
        top2_2nd_expert_sampling=[False, True],
        capacity_factor=[0.5],
        eval_capacity_factor=[0.5],
        noisy_gate_policy=["Jitter", "RSample"],
        attention_bias=[True],
        mlp_bias=[True],
    )
    for interval in (2, 3):
        yield case(f"expert_interval {interval}", expert_interval=interval, num_experts=[4])
        yield case(f"expert_interval {interval}, standard", expert_interval=interval, num_experts=6, mlp_type="standard")
    yield case("one choice, standard", num_experts_per_tok=1, mlp_type="standard")
    yield case("one choice of as many", num_experts=4, num_experts_per_tok=1)
    yield case("three choices, standard", num_experts_per_tok=3, mlp_type="standard")
    yield case("hidden_size 32, head_dim null", hidden_size=32, head_dim=None)
    yield from rope_cases(6)


FAMILIES = {"deepspeed_moe": Family(DEEPSPEED_MOE, deepspeed_moe, library="DeepSpeed 0.19.8")}
