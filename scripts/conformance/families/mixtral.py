"""Mixtral."""

from cases import ABSENT, SHARED, SMALL, Family, case, one_by_one, rope_cases

MIXTRAL = dict(
    **SMALL,
    model_type="mixtral",
    num_key_value_heads=2,
    head_dim=12,
    intermediate_size=20,
    num_local_experts=6,
    num_experts_per_tok=2,
    sliding_window=None,
)


def mixtral():
    yield case("base")
    yield from one_by_one(
        **SHARED,
        num_key_value_heads=[1, 4, None, ABSENT],
        head_dim=[8, None, ABSENT],
        intermediate_size=[12],
        num_local_experts=[12, ABSENT],
        num_experts_per_tok=[1, 6, ABSENT],
        sliding_window=[4, 1, 0, 4096, ABSENT],
        layer_types=[["full_attention"] * 3, ["sliding_attention", "full_attention", "sliding_attention"]],
        router_aux_loss_coef=[0.5],
        router_jitter_noise=[0.5],
        attention_bias=[True],
        norm_topk_prob=[False],
        num_experts=[6],
    )
    yield case("sliding window by layer_types", sliding_window=4, layer_types=["sliding_attention", "full_attention", "sliding_attention"])
    yield case("hidden_size 32, head_dim null", hidden_size=32, head_dim=None)
    yield case("num_local_experts as num_experts", num_local_experts=ABSENT, num_experts=6)
    yield from rope_cases(6)


FAMILIES = {"mixtral": Family(MIXTRAL, mixtral)}
