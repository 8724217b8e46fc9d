"""Ling 2.0."""

from cases import ABSENT, SHARED, SMALL, Family, case, one_by_one, rope_cases

#: transformers has no class of this name; sarvam_moe reads the same fields and tensors.
BAILING_MOE_V2 = dict(
    **SMALL,
    model_type="bailing_moe_v2",
    architectures=["BailingMoeV2ForCausalLM"],
    num_key_value_heads=2,
    head_dim=16,
    partial_rotary_factor=0.5,
    intermediate_size=28,
    moe_intermediate_size=20,
    num_experts=6,
    num_experts_per_tok=3,
    num_shared_experts=1,
    first_k_dense_replace=1,
    n_group=3,
    topk_group=2,
    norm_topk_prob=True,
    routed_scaling_factor=2.5,
    moe_router_enable_expert_bias=True,
    score_function="sigmoid",
    use_qk_norm=True,
    use_qkv_bias=False,
    use_bias=False,
    num_nextn_predict_layers=0,
)


def bailing_moe_v2():
    yield case("base")
    yield from one_by_one(
        **SHARED,
        num_key_value_heads=[1, 4],
        head_dim=[24],
        partial_rotary_factor=[1.0, 0.25],
        intermediate_size=[20],
        moe_intermediate_size=[12],
        num_experts=[12],
        num_experts_per_tok=[1, 4],
        num_shared_experts=[2],
        first_k_dense_replace=[0, 2],
        n_group=[1, 2],
        topk_group=[1],
        norm_topk_prob=[False],
        routed_scaling_factor=[1.0],
        use_qk_norm=[False],
        use_qkv_bias=[True],
        num_nextn_predict_layers=[1],
    )
    yield case("partial_rotary_factor absent", partial_rotary_factor=ABSENT)
    yield from rope_cases(4)


FAMILIES = {"bailing_moe_v2": Family(BAILING_MOE_V2, bailing_moe_v2, judge="sarvam_moe")}
