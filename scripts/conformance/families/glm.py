"""GLM."""

from cases import ABSENT, SHARED, SMALL, SMALL_LATENT, Family, case, one_by_one, rope_cases

GLM4_MOE = dict(
    **SMALL,
    model_type="glm4_moe",
    num_key_value_heads=2,
    head_dim=16,
    intermediate_size=28,
    moe_intermediate_size=20,
    n_routed_experts=6,
    num_experts_per_tok=3,
    n_shared_experts=1,
    first_k_dense_replace=1,
    n_group=1,
    topk_group=1,
    norm_topk_prob=True,
    routed_scaling_factor=2.5,
    attention_bias=True,
    use_qk_norm=False,
    partial_rotary_factor=0.5,
    num_nextn_predict_layers=1,
)


def glm4_moe():
    yield case("base")
    yield from one_by_one(
        **SHARED,
        num_key_value_heads=[1, 4, None, ABSENT],
        head_dim=[8, None, ABSENT],
        intermediate_size=[20],
        moe_intermediate_size=[12],
        n_routed_experts=[12],
        num_experts_per_tok=[1, 4, ABSENT],
        n_shared_experts=[2, 0, None, ABSENT],
        first_k_dense_replace=[0, 2, 3, ABSENT],
        n_group=[2, 3, None, ABSENT],
        topk_group=[2, None, ABSENT],
        norm_topk_prob=[False, ABSENT],
        routed_scaling_factor=[1, 0.5, ABSENT],
        attention_bias=[False, ABSENT],
        use_qk_norm=[True, ABSENT],
        num_nextn_predict_layers=[0, 2, ABSENT],
        num_mtp_layers=[0, 2],
        num_local_experts=[6],
        scoring_func=["sigmoid", "softmax"],
        topk_method=["noaux_tc", "greedy"],
        sliding_window=[4],
    )
    yield case("groups", n_group=3, topk_group=2)
    yield case("qk norms without biases", use_qk_norm=True, attention_bias=False)
    yield case("partial_rotary_factor absent", partial_rotary_factor=ABSENT)
    yield case("partial_rotary_factor: 1.0", partial_rotary_factor=1.0)
    yield case("partial_rotary_factor: 0.25", partial_rotary_factor=0.25)
    yield case("rope_parameters with partial_rotary_factor", rope_parameters={"rope_type": "default", "rope_theta": 70.0, "partial_rotary_factor": 0.25})
    yield case("n_routed_experts as num_local_experts", n_routed_experts=ABSENT, num_local_experts=6)
    yield from rope_cases(4)



GLM4_MOE_LITE = dict(
    **SMALL_LATENT,
    model_type="glm4_moe_lite",
    n_shared_experts=1,
    n_group=1,
    topk_group=1,
    norm_topk_prob=True,
    routed_scaling_factor=1.8,
    num_nextn_predict_layers=1,
)


def glm4_moe_lite():
    yield case("base")
    yield from one_by_one(
        **SHARED,
        intermediate_size=[20],
        moe_intermediate_size=[12],
        num_key_value_heads=[2, None, ABSENT],
        n_routed_experts=[12],
        num_experts_per_tok=[1, 4],
        n_shared_experts=[2, 0],
        first_k_dense_replace=[0, 1, 2],
        mlp_layer_types=[["dense", "sparse", "dense"], ["sparse"] * 3, None],
        n_group=[2, 3, ABSENT],
        topk_group=[2, ABSENT],
        norm_topk_prob=[False, ABSENT],
        routed_scaling_factor=[1.0, 16.0, ABSENT],
        q_lora_rank=[12, None],
        kv_lora_rank=[20],
        qk_nope_head_dim=[20],
        qk_rope_head_dim=[4],
        v_head_dim=[12],
        attention_bias=[True, ABSENT],
        rope_interleave=[False, True],
        head_dim=[8, 20],
        pretraining_tp=[4],
        partial_rotary_factor=[1.0],
        num_nextn_predict_layers=[0],
        scoring_func=["sigmoid", "softmax"],
        topk_method=["noaux_tc", "greedy"],
        sliding_window=[4],
    )
    yield case("groups", n_group=3, topk_group=2)
    yield from rope_cases(4)


FAMILIES = {
    "glm4_moe": Family(GLM4_MOE, glm4_moe),
    "glm4_moe_lite": Family(GLM4_MOE_LITE, glm4_moe_lite),
}
