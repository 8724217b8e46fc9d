"""LFM2."""

from cases import ABSENT, NEUTRAL, SMALL, Family, case, one_by_one, rope_cases

LFM2_MOE = {
    **{key: value for key, value in SMALL.items() if key not in ["hidden_act", "rms_norm_eps"]},
    "model_type": "lfm2_moe",
    "hidden_size": 40,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 28,
    "moe_intermediate_size": 20,
    "num_experts": 6,
    "num_experts_per_tok": 3,
    "num_dense_layers": 1,
    "norm_eps": 1e-5,
    "norm_topk_prob": True,
    "use_expert_bias": True,
    "routed_scaling_factor": 1.5,
    "conv_L_cache": 3,
    "conv_bias": False,
    "layer_types": ["conv", "full_attention", "conv", "full_attention"],
    "tie_word_embeddings": True,
}


def lfm2_moe():
    yield case("base")
    yield from one_by_one(
        **NEUTRAL,
        vocab_size=[48],
        hidden_size=[24],
        num_hidden_layers=[2],
        num_attention_heads=[2],
        num_key_value_heads=[1, 4],
        intermediate_size=[20],
        moe_intermediate_size=[12],
        num_experts=[12],
        num_experts_per_tok=[1, 6],
        num_dense_layers=[0, 2, ABSENT],
        norm_eps=[0.05, ABSENT],
        norm_topk_prob=[False, ABSENT],
        use_expert_bias=[False, ABSENT],
        routed_scaling_factor=[1.0, ABSENT],
        conv_L_cache=[2, 4, ABSENT],
        conv_bias=[True, ABSENT],
        layer_types=[["conv"] * 4, ["full_attention"] * 4, ["full_attention", "conv", "conv", "conv"], None, ABSENT],
        tie_word_embeddings=[False, ABSENT],
        tie_embedding=[True, False],
        head_dim=[12],
        conv_dim=[40],
        conv_dim_out=[40],
        conv_use_xavier_init=[True],
        block_auto_adjust_ff_dim=[True],
        block_ffn_dim_multiplier=[1.5],
        hidden_act=["gelu"],
        num_local_experts=[6],
        sliding_window=[4],
    )
    yield from rope_cases(5)


FAMILIES = {"lfm2_moe": Family(LFM2_MOE, lfm2_moe)}
