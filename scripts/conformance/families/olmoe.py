"""OLMoE."""

from cases import ABSENT, SHARED, SMALL, Family, case, one_by_one, rope_cases

OLMOE = {
    **SMALL,
    "model_type": "olmoe",
    "hidden_size": 40,
    "num_attention_heads": 5,
    "num_key_value_heads": 5,
    "intermediate_size": 20,
    "num_experts": 6,
    "num_experts_per_tok": 3,
    "norm_topk_prob": False,
    "attention_bias": False,
    "clip_qkv": None,
}


def olmoe():
    yield case("base")
    yield from one_by_one(
        **{**SHARED, "hidden_size": [20], "num_attention_heads": [10]},
        num_key_value_heads=[1, None, ABSENT],
        intermediate_size=[12],
        num_experts=[12, ABSENT],
        num_experts_per_tok=[1, 6, ABSENT],
        norm_topk_prob=[True, ABSENT],
        attention_bias=[True, ABSENT],
        clip_qkv=[0.75, 100.0, 0],
        router_aux_loss_coef=[0.5],
        head_dim=[12],
        num_local_experts=[6],
        sliding_window=[4],
    )
    yield case("num_experts as num_local_experts", num_experts=ABSENT, num_local_experts=6)
    yield from rope_cases(4)


FAMILIES = {"olmoe": Family(OLMOE, olmoe)}
