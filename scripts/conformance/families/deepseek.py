"""DeepSeek."""

from cases import ABSENT, NEUTRAL, SHARED, SMALL_LATENT, Family, case, one_by_one, rope_cases, spelt_rope_cases, yarn

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
    **SMALL_LATENT,
    model_type="deepseek_v2",
    n_shared_experts=2,
    first_k_dense_replace=1,
    n_group=3,
    topk_group=2,
    topk_method="group_limited_greedy",
    norm_topk_prob=False,
    routed_scaling_factor=1.5,
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
    yield case("num_attention_heads and num_key_value_heads: 2", num_attention_heads=2, num_key_value_heads=2)
    yield case("topk_method: greedy, norm_topk_prob: True", topk_method="greedy", norm_topk_prob=True)
    yield case("n_routed_experts as num_experts", n_routed_experts=ABSENT, num_experts=6)
    yield case("rms_norm_eps: 0.05, q_lora_rank: null", rms_norm_eps=0.05, q_lora_rank=None)
    yield from rope_cases(4)



#: DeepSeek-V3 under another name, with the fields that Kimi-K2 is published with.
KIMI_K2 = dict(
    **SMALL_LATENT,
    model_type="kimi_k2",
    architectures=["DeepseekV3ForCausalLM"],
    auto_map={"AutoConfig": "configuration_deepseek.DeepseekV3Config"},
    moe_layer_freq=1,
    n_shared_experts=1,
    first_k_dense_replace=1,
    n_group=1,
    topk_group=1,
    topk_method="noaux_tc",
    scoring_func="sigmoid",
    norm_topk_prob=True,
    routed_scaling_factor=2.827,
    num_nextn_predict_layers=0,
    aux_loss_alpha=0.001,
    seq_aux=True,
    ep_size=1,
    pretraining_tp=1,
    rope_scaling=yarn(beta_fast=1.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0),
)


def kimi_k2():
    """What DeepSeek-V3's cases don't show already."""
    yield case("base")
    yield from one_by_one(
        rope_scaling=[None, yarn(beta_fast=32.0, beta_slow=1.0)],
        n_group=[2],
        routed_scaling_factor=[1.5],
        norm_topk_prob=[False],
        hidden_act=["gelu"],
        topk_method=["greedy"],
        scoring_func=["softmax"],
        moe_layer_freq=[2],
        q_lora_rank=[None],
        rms_norm_eps=[0.05],
        tie_word_embeddings=[True],
        attention_bias=[True],
    )


KIMI_K25 = dict(
    model_type="kimi_k25",
    architectures=["KimiK25ForConditionalGeneration"],
    text_config=KIMI_K2,
    vision_config=dict(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        pos_emb_height=2,
        pos_emb_width=2,
        pos_emb_time=1,
        patch_size=2,
    ),
    projection_hidden_size=8,
    tie_word_embeddings=False,
)


DSA = dict(
    **SMALL_LATENT,
    n_shared_experts=1,
    first_k_dense_replace=1,
    norm_topk_prob=True,
    routed_scaling_factor=2.5,
    index_n_heads=8,
    index_head_dim=12,
    index_topk=24,
)

DEEPSEEK_V32 = dict(**DSA, model_type="deepseek_v32", n_group=3, topk_group=2, num_nextn_predict_layers=1)
GLM_MOE_DSA = dict(**DSA, model_type="glm_moe_dsa", n_group=1, topk_group=1, num_nextn_predict_layers=1, rope_interleave=True)


def dsa():
    """Latent attention to what an indexer chooses."""
    yield case("base")
    yield from one_by_one(
        **{**SHARED, "num_hidden_layers": [2, 4]},
        index_topk=[8, 1, 2048, ABSENT],
        index_n_heads=[4],
        index_head_dim=[16],
        intermediate_size=[20],
        moe_intermediate_size=[12],
        num_key_value_heads=[2, None, ABSENT],
        n_routed_experts=[12],
        num_experts_per_tok=[1, 4],
        n_shared_experts=[2, 0],
        first_k_dense_replace=[0, 2, 3, ABSENT],
        n_group=[1, 2, 6, None],
        topk_group=[1, None],
        norm_topk_prob=[False, ABSENT],
        routed_scaling_factor=[1.0, 16.0, ABSENT],
        q_lora_rank=[12, None],
        kv_lora_rank=[20],
        qk_nope_head_dim=[20],
        qk_rope_head_dim=[4],
        v_head_dim=[12],
        attention_bias=[True, ABSENT],
        mlp_bias=[True],
        head_dim=[8, 20],
        mlp_layer_types=[["dense", "sparse", "dense"], ["sparse"] * 3],
        layer_types=[["indexed_attention"] * 3, ["full_attention"] * 3],
        rope_interleave=[False, True],
        indexer_rope_interleave=[False, True],
        topk_method=["noaux_tc", "greedy"],
        scoring_func=["sigmoid", "softmax"],
        moe_layer_freq=[1, 2],
        num_experts=[6],
        num_nextn_predict_layers=[0],
        sliding_window=[4],
    )
    yield case("num_attention_heads and num_key_value_heads: 2", num_attention_heads=2, num_key_value_heads=2)
    yield case("yarn with an indexer that chooses", index_topk=8, rope_scaling=yarn(mscale=1.0, mscale_all_dim=1.0))
    yield from rope_cases(4)


def glm_moe_dsa():
    yield from dsa()
    yield from one_by_one(
        index_topk_freq=[1, 2],
        index_topk_pattern=["FSF", "FSS", "FFF"],
        index_skip_topk_offset=[1],
        indexer_types=[["full", "shared", "full"], ["full"] * 3],
    )
    yield case("shared indexers that choose", index_topk=8, indexer_types=["full", "shared", "full"])
    yield case("shared indexers that choose, by frequency", index_topk=8, index_topk_freq=2, index_skip_topk_offset=1)


FAMILIES = {
    "deepseek_v2": Family(DEEPSEEK_V2, deepseek_v2),
    "deepseek_v3": Family(DEEPSEEK_V3, deepseek_v3),
    "deepseek_v32": Family(DEEPSEEK_V32, dsa),
    "glm_moe_dsa": Family(GLM_MOE_DSA, glm_moe_dsa),
    "kimi_k2": Family(KIMI_K2, kimi_k2, judge="deepseek_v3", covered_by="deepseek_v3"),
    "kimi_k25": Family(
        KIMI_K25,
        kimi_k2,
        within="text_config",
        judge="deepseek_v3",
        covered_by="deepseek_v3",
        published={"language_model.model.blocks.": "language_model.model.layers.", "model.mm_projector.": "mm_projector."},
    ),
}
