"""gpt-oss."""

from cases import ABSENT, SHARED, SMALL, Family, case, one_by_one, rope_cases, yarn

GPT_OSS = dict(
    **SMALL,
    model_type="gpt_oss",
    num_key_value_heads=2,
    head_dim=12,
    intermediate_size=20,
    num_local_experts=6,
    num_experts_per_tok=3,
    attention_bias=True,
    sliding_window=4,
    layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    swiglu_limit=1.0,
    rope_scaling=yarn(truncate=False, beta_fast=32.0, beta_slow=1.0),
)


def gpt_oss():
    yield case("base")
    yield from one_by_one(
        **SHARED,
        num_key_value_heads=[1, 4, None, ABSENT],
        head_dim=[8, None, ABSENT],
        intermediate_size=[12],
        num_local_experts=[12, ABSENT],
        num_experts_per_tok=[1, 6, ABSENT],
        experts_per_token=[3, 2],
        attention_bias=[False, None, ABSENT],
        sliding_window=[1, 8, 0, None, ABSENT],
        layer_types=[["full_attention"] * 3, ["sliding_attention"] * 3, None, ABSENT],
        swiglu_limit=[7.0, 0.25, ABSENT],
        swiglu_alpha=[1.702, 1.0],
        router_aux_loss_coef=[0.5],
        initial_context_length=[4096],
        num_experts=[6],
        norm_topk_prob=[False],
    )
    yield case("rope_scaling absent", rope_scaling=ABSENT)
    yield case("rope_scaling null", rope_scaling=None)
    yield from rope_cases(6)


FAMILIES = {"gpt_oss": Family(GPT_OSS, gpt_oss)}
