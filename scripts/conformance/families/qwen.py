"""Qwen."""

from cases import ABSENT, NEUTRAL, SHARED, SMALL, Family, case, one_by_one, rope_cases, spelt_rope_cases

QWEN3_MOE = dict(
    model_type="qwen3_moe",
    vocab_size=40,
    hidden_size=32,
    intermediate_size=40,
    moe_intermediate_size=16,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    num_experts=8,
    num_experts_per_tok=3,
    norm_topk_prob=True,
    decoder_sparse_step=1,
    mlp_only_layers=[],
    hidden_act="silu",
    max_position_embeddings=128,
    rms_norm_eps=1e-5,
    tie_word_embeddings=False,
    rope_theta=1000.0,
    attention_bias=False,
    use_sliding_window=False,
    sliding_window=None,
    bos_token_id=0,
    eos_token_id=1,
)


def qwen3_moe():
    yield case("base")
    yield from one_by_one(
        **NEUTRAL,
        vocab_size=[48],
        hidden_size=[24],
        intermediate_size=[24],
        moe_intermediate_size=[24],
        num_hidden_layers=[2],
        num_attention_heads=[2],
        num_key_value_heads=[1, 4, ABSENT],
        head_dim=[12, 4, None, ABSENT],
        num_experts=[12, ABSENT],
        num_experts_per_tok=[1, 8],
        norm_topk_prob=[False, ABSENT],
        decoder_sparse_step=[2, 3, ABSENT],
        mlp_only_layers=[[0], [0, 2], [7], None, ABSENT],
        hidden_act=["gelu", ABSENT],
        rms_norm_eps=[0.05, 1e-12, 0, ABSENT],
        tie_word_embeddings=[True, ABSENT],
        attention_bias=[True, ABSENT],
        attention_dropout=[0.5],
        use_sliding_window=[True, ABSENT],
        sliding_window=[4, ABSENT],
        max_window_layers=[1],
        router_aux_loss_coef=[0.5],
        qk_norm=[False],
        use_qk_norm=[True],
        qkv_bias=[False],
        shared_expert_intermediate_size=[16, 0],
        layer_types=[["full_attention"] * 3],
    )
    yield case("sliding window", use_sliding_window=True, sliding_window=4)
    yield case("sliding window of the last layers", use_sliding_window=True, sliding_window=4, max_window_layers=2)
    yield case("sliding window of no size", use_sliding_window=True, sliding_window=None)
    yield case("num_experts as num_local_experts", num_experts=ABSENT, num_local_experts=8)
    yield case("num_experts and num_local_experts agree", num_local_experts=8)
    yield case("num_experts and num_local_experts differ", num_local_experts=4)
    yield case("mlp_only_layers and decoder_sparse_step", mlp_only_layers=[1], decoder_sparse_step=2)
    yield case("tied, and lm_head is there", {"lm_head.weight": [40, 32]}, tie_word_embeddings=True)
    yield from spelt_rope_cases()


QWEN2_MOE = dict(
    **SMALL,
    model_type="qwen2_moe",
    num_key_value_heads=2,
    head_dim=12,
    intermediate_size=28,
    moe_intermediate_size=20,
    shared_expert_intermediate_size=12,
    num_experts=6,
    num_experts_per_tok=3,
    norm_topk_prob=False,
    decoder_sparse_step=1,
    mlp_only_layers=[],
    qkv_bias=True,
    use_sliding_window=False,
    sliding_window=4,
    max_window_layers=3,
)


def qwen2_moe():
    yield case("base")
    yield from one_by_one(
        **SHARED,
        num_key_value_heads=[1, 4, None, ABSENT],
        head_dim=[8, None, ABSENT],
        intermediate_size=[20],
        moe_intermediate_size=[12],
        shared_expert_intermediate_size=[20, 0],
        num_experts=[12, ABSENT],
        num_experts_per_tok=[1, 6],
        norm_topk_prob=[True, ABSENT],
        decoder_sparse_step=[2, 3, ABSENT],
        mlp_only_layers=[[0], [0, 2], [7], None, ABSENT],
        qkv_bias=[False, ABSENT],
        use_sliding_window=[True, ABSENT],
        sliding_window=[0, None, 8, ABSENT],
        max_window_layers=[0, 1, 28, ABSENT],
        layer_types=[["full_attention"] * 3, ["full_attention", "sliding_attention", "full_attention"]],
        router_aux_loss_coef=[0.5],
        attention_bias=[True, False],
        num_local_experts=[6],
    )
    yield case("sliding window", use_sliding_window=True)
    yield case("sliding window of the first layers", use_sliding_window=True, max_window_layers=1)
    yield case("sliding window of size 0", use_sliding_window=True, sliding_window=0)
    yield case("sliding window of no size", use_sliding_window=True, sliding_window=None)
    yield case(
        "sliding window by layer_types",
        use_sliding_window=True,
        layer_types=["full_attention", "sliding_attention", "sliding_attention"],
    )
    yield case("hidden_size 32, head_dim absent", hidden_size=32, head_dim=ABSENT)
    yield case("num_experts as num_local_experts", num_experts=ABSENT, num_local_experts=6)
    yield from rope_cases(6)



QWEN3_NEXT = {
    **SMALL,
    "model_type": "qwen3_next",
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "partial_rotary_factor": 0.25,
    "intermediate_size": 28,
    "moe_intermediate_size": 20,
    "shared_expert_intermediate_size": 12,
    "num_experts": 6,
    "num_experts_per_tok": 3,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "full_attention_interval": 4,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 12,
    "linear_value_head_dim": 20,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "attention_bias": False,
}

_LAYERS = ["linear_attention", "full_attention"]


def delta_rule():
    """Layers of a gated delta rule between layers of attention."""
    yield case("base")
    yield from one_by_one(
        **{**SHARED, "num_hidden_layers": [3, 5, 8]},
        num_key_value_heads=[1, 4],
        head_dim=[24, ABSENT],
        partial_rotary_factor=[0.5, 1.0, ABSENT],
        moe_intermediate_size=[12],
        shared_expert_intermediate_size=[20],
        num_experts=[12],
        num_experts_per_tok=[1, 6],
        linear_conv_kernel_dim=[2, 3, 5],
        linear_key_head_dim=[8, 16],
        linear_value_head_dim=[12],
        linear_num_key_heads=[1, 4],
        linear_num_value_heads=[2, 6],
        full_attention_interval=[2, 1, ABSENT],
        layer_types=[_LAYERS * 2, ["full_attention"] * 4, ["linear_attention"] * 4],
        attention_bias=[True, ABSENT],
        router_aux_loss_coef=[0.5],
        attn_output_gate=[True, False],
        mamba_ssm_dtype=["float32"],
        sliding_window=[4],
        num_nextn_predict_layers=[1],
    )
    yield from rope_cases(2)


def qwen3_next():
    yield from delta_rule()
    yield from one_by_one(
        intermediate_size=[20],
        norm_topk_prob=[False, ABSENT],
        decoder_sparse_step=[2, ABSENT],
        mlp_only_layers=[[0], None, ABSENT],
    )
    yield case("MTP is there", {"mtp.fc.weight": [36, 72], "mtp.norm.weight": [36]})


QWEN3_5_MOE = {
    "model_type": "qwen3_5_moe",
    "architectures": ["Qwen3_5MoeForConditionalGeneration"],
    "text_config": {
        **{key: value for key, value in QWEN3_NEXT.items() if key not in ["intermediate_size", "norm_topk_prob", "decoder_sparse_step", "mlp_only_layers"]},
        "model_type": "qwen3_5_moe_text",
    },
    "vision_config": {
        "model_type": "qwen3_5_moe_vision",
        "depth": 1,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_heads": 1,
        "patch_size": 2,
        "out_hidden_size": 36,
        "num_position_embeddings": 4,
    },
    "tie_word_embeddings": False,
}


def qwen3_5_moe():
    yield from delta_rule()
    yield from one_by_one(norm_topk_prob=[False], mtp_num_hidden_layers=[1])
    yield case("MTP is there", {"mtp.fc.weight": [36, 72], "mtp.norm.weight": [36]})


FAMILIES = {
    "qwen2_moe": Family(QWEN2_MOE, qwen2_moe),
    "qwen3_moe": Family(QWEN3_MOE, qwen3_moe),
    "qwen3_next": Family(QWEN3_NEXT, qwen3_next),
    "qwen3_5_moe": Family(QWEN3_5_MOE, qwen3_5_moe, within="text_config"),
}
