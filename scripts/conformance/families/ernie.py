"""ERNIE 4.5."""

from cases import ABSENT, SHARED, SMALL, Family, case, one_by_one, rope_cases

ERNIE4_5_MOE = dict(
    **SMALL,
    model_type="ernie4_5_moe",
    num_key_value_heads=2,
    head_dim=12,
    intermediate_size=28,
    moe_intermediate_size=20,
    moe_num_experts=6,
    moe_k=3,
    moe_num_shared_experts=2,
    moe_layer_start_index=1,
    moe_layer_end_index=-1,
    moe_layer_interval=1,
    moe_norm_min=1e-12,
    moe_use_aux_free=True,
    use_bias=False,
)


def ernie4_5_moe():
    yield case("base")
    yield from one_by_one(
        **SHARED,
        num_key_value_heads=[1, 4],
        head_dim=[8, None, ABSENT],
        intermediate_size=[20],
        moe_intermediate_size=[12],
        moe_num_experts=[12, ABSENT],
        moe_k=[1, 6, ABSENT],
        moe_num_shared_experts=[1, 0, ABSENT],
        moe_layer_start_index=[0, 2, ABSENT],
        moe_layer_end_index=[1, 2, 7, ABSENT],
        moe_layer_interval=[2, 3, ABSENT],
        moe_norm_min=[0.9, ABSENT],
        moe_use_aux_free=[False],
        moe_gate=["topk"],
        use_bias=[True, ABSENT],
        router_aux_loss_coef=[0.5],
        num_experts=[6],
        num_nextn_predict_layers=[1],
        moe_multimodal_token_types=[[0]],
        compression_ratio=[1.0],
        rope_scaling_factor=[2.0],
        sliding_window=[4],
    )
    yield case("hidden_size 32, head_dim absent", hidden_size=32, head_dim=ABSENT)
    yield case("moe_k as num_experts_per_tok", moe_k=ABSENT, num_experts_per_tok=3)
    yield from rope_cases(6)


FAMILIES = {"ernie4_5_moe": Family(ERNIE4_5_MOE, ernie4_5_moe)}
