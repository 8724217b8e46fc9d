"""Phi-3.5-MoE."""

from cases import ABSENT, SHARED, SMALL, Family, case, longrope, one_by_one, rope_cases

PHIMOE = dict(
    **SMALL,
    model_type="phimoe",
    num_key_value_heads=2,
    head_dim=12,
    intermediate_size=20,
    num_local_experts=6,
    num_experts_per_tok=2,
    attention_bias=True,
    lm_head_bias=True,
    input_jitter_noise=0.01,
    router_jitter_noise=0.01,
    sliding_window=None,
)


def phimoe():
    yield case("base")
    yield from one_by_one(
        **SHARED,
        num_key_value_heads=[1, 4, None],
        head_dim=[8, ABSENT],
        intermediate_size=[12],
        num_local_experts=[12, ABSENT],
        num_experts_per_tok=[1, 3, ABSENT],
        attention_bias=[False, ABSENT],
        lm_head_bias=[False, ABSENT],
        input_jitter_noise=[0.5, ABSENT],
        router_jitter_noise=[0.5, 0.0, ABSENT],
        sliding_window=[4, 4096, ABSENT],
        router_aux_loss_coef=[0.5],
        num_experts=[6],
        original_max_position_embeddings=[16],
    )
    yield case("hidden_size 32, head_dim absent", hidden_size=32, head_dim=ABSENT)
    yield case("rope_scaling: longrope, mscales", rope_scaling=longrope(6, short_mscale=1.25, long_mscale=1.5))
    yield case("rope_scaling: longrope, mscales, short", rope_scaling=longrope(6, short_mscale=1.25, long_mscale=1.5, original_max_position_embeddings=32))
    yield case(
        "rope_scaling: longrope, original_max_position_embeddings beside it",
        rope_scaling={key: value for key, value in longrope(6, short_mscale=1.25, long_mscale=1.5).items() if key != "original_max_position_embeddings"},
        original_max_position_embeddings=16,
    )
    yield from rope_cases(6)


FAMILIES = {"phimoe": Family(PHIMOE, phimoe)}
