"""DeepSeek."""

from cases import ABSENT, NEUTRAL, SHARED, SMALL, Family, case, one_by_one, rope_cases, spelt_rope_cases

DEEPSEEK_V3 = dict(
    model_type="deepseek_v3",
    vocab_size=40,
    hidden_size=32,
    intermediate_size=40,
    moe_intermediate_size=16,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=4,
    n_shared_experts=2,
    n_routed_experts=8,
    routed_scaling_factor=1.5,
    kv_lora_rank=16,
    q_lora_rank=24,
    qk_rope_head_dim=8,
    v_head_dim=12,
    qk_nope_head_dim=12,
    n_group=4,
    topk_group=2,
    num_experts_per_tok=3,
    first_k_dense_replace=1,
    norm_topk_prob=True,
    hidden_act="silu",
    max_position_embeddings=128,
    rms_norm_eps=1e-5,
    tie_word_embeddings=False,
    rope_theta=1000.0,
    attention_bias=False,
    bos_token_id=0,
    eos_token_id=1,
)


def deepseek_v3():
    yield case("base")
    yield from one_by_one(
        **NEUTRAL,
        vocab_size=[48],
        hidden_size=[24],
        intermediate_size=[24],
        moe_intermediate_size=[24],
        num_hidden_layers=[2],
        num_attention_heads=[2],
        num_key_value_heads=[2, None, ABSENT],
        n_shared_experts=[1, 0, None, ABSENT],
        n_routed_experts=[12],
        routed_scaling_factor=[1, 2.5, 0.5, ABSENT],
        kv_lora_rank=[12],
        q_lora_rank=[None, 12],
        qk_rope_head_dim=[4],
        v_head_dim=[16],
        qk_nope_head_dim=[16],
        n_group=[1, 2, 8, None, ABSENT],
        topk_group=[3, 4, None, ABSENT],
        num_experts_per_tok=[1, 4, None],
        first_k_dense_replace=[0, 2, None, ABSENT],
        norm_topk_prob=[False, None, ABSENT],
        hidden_act=["gelu", "relu", "swish", ABSENT],
        rms_norm_eps=[0.05, 1e-12, 0, ABSENT],
        tie_word_embeddings=[True, ABSENT],
        rope_interleave=[False, True, None, ABSENT],
        attention_bias=[True, None, ABSENT],
        attention_dropout=[0.5],
        pretraining_tp=[4],
        num_mtp_layers=[0],
        num_nextn_predict_layers=[1],
        moe_layer_freq=[1, 2, [0, 1, 1]],
        topk_method=["noaux_tc", "greedy", "group_limited_greedy"],
        scoring_func=["sigmoid", "softmax"],
        ep_size=[2],
        seq_aux=[True],
        aux_loss_alpha=[0.1],
        head_dim=[8, 20],
        qk_head_dim=[20],
        num_local_experts=[8],
        sliding_window=[4],
        layer_types=[["full_attention"] * 3],
    )
    yield case("num_key_value_heads: 2, of 2", num_key_value_heads=2, num_attention_heads=2)
    yield case("n_routed_experts as num_local_experts", n_routed_experts=ABSENT, num_local_experts=8)
    yield case("tied, and lm_head is there", {"lm_head.weight": [40, 32]}, tie_word_embeddings=True)
    yield case("rms_norm_eps: 0.05, q_lora_rank: null", rms_norm_eps=0.05, q_lora_rank=None)
    yield from spelt_rope_cases()


DEEPSEEK_V2 = dict(
    **SMALL,
    model_type="deepseek_v2",
    num_key_value_heads=4,
    intermediate_size=28,
    moe_intermediate_size=20,
    n_routed_experts=6,
    num_experts_per_tok=3,
    n_shared_experts=2,
    first_k_dense_replace=1,
    n_group=3,
    topk_group=2,
    topk_method="group_limited_greedy",
    norm_topk_prob=False,
    routed_scaling_factor=1.5,
    q_lora_rank=20,
    kv_lora_rank=12,
    qk_nope_head_dim=12,
    qk_rope_head_dim=8,
    v_head_dim=20,
    attention_bias=False,
)


def deepseek_v2():
    yield case("base")
    yield from one_by_one(
        **SHARED,
        intermediate_size=[20],
        moe_intermediate_size=[12],
        num_key_value_heads=[2, None, ABSENT],
        n_routed_experts=[12],
        num_experts_per_tok=[1, 4, None, ABSENT],
        n_shared_experts=[1, 0, None, ABSENT],
        first_k_dense_replace=[0, 2, 3, None, ABSENT],
        n_group=[1, 2, None, ABSENT],
        topk_group=[1, 3, None, ABSENT],
        topk_method=["greedy", "noaux_tc", None, ABSENT],
        norm_topk_prob=[True, None, ABSENT],
        routed_scaling_factor=[1, 16.0, ABSENT],
        q_lora_rank=[None, 12],
        kv_lora_rank=[20],
        qk_nope_head_dim=[20],
        qk_rope_head_dim=[4],
        v_head_dim=[12],
        attention_bias=[True, None, ABSENT],
        mlp_bias=[True],
        head_dim=[8, 20],
        pretraining_tp=[4],
        moe_layer_freq=[1, 2, [0, 1, 1]],
        scoring_func=["softmax", "sigmoid"],
        rope_interleave=[False, True],
        seq_aux=[True],
        aux_loss_alpha=[0.1],
        ep_size=[2],
        num_experts=[6],
        num_local_experts=[6],
        num_nextn_predict_layers=[1],
        sliding_window=[4],
        layer_types=[["full_attention"] * 3],
    )
    yield case("topk_method: greedy, norm_topk_prob: True", topk_method="greedy", norm_topk_prob=True)
    yield case("n_routed_experts as num_experts", n_routed_experts=ABSENT, num_experts=6)
    yield case("rms_norm_eps: 0.05, q_lora_rank: null", rms_norm_eps=0.05, q_lora_rank=None)
    yield from rope_cases(4)


FAMILIES = {
    "deepseek_v2": Family(DEEPSEEK_V2, deepseek_v2),
    "deepseek_v3": Family(DEEPSEEK_V3, deepseek_v3),
}
