"""Granite."""

from cases import ABSENT, SHARED, SMALL, Family, case, one_by_one, rope_cases

GRANITEMOE = dict(
    **SMALL,
    model_type="granitemoe",
    num_key_value_heads=2,
    intermediate_size=20,
    num_local_experts=6,
    num_experts_per_tok=3,
    attention_bias=False,
    attention_multiplier=0.4,
    embedding_multiplier=3.0,
    residual_multiplier=0.6,
    logits_scaling=1.5,
)
GRANITEMOE["hidden_size"] = 40


def granitemoe():
    yield case("base")
    yield from one_by_one(
        **SHARED,
        num_key_value_heads=[1, 4, None, ABSENT],
        intermediate_size=[12],
        num_local_experts=[12, ABSENT],
        num_experts_per_tok=[1, 6, ABSENT],
        attention_bias=[True, ABSENT],
        attention_multiplier=[1.0, ABSENT],
        embedding_multiplier=[12.0, ABSENT],
        residual_multiplier=[0.22, ABSENT],
        logits_scaling=[6.0, ABSENT],
        router_aux_loss_coef=[0.5],
        head_dim=[12, 20],
        normalization_function=["rmsnorm", "layernorm"],
        position_embedding_type=["rope", "nope"],
        shared_intermediate_size=[12],
        sliding_window=[4],
        num_experts=[6],
    )
    yield from rope_cases(5)


FAMILIES = {"granitemoe": Family(GRANITEMOE, granitemoe)}
