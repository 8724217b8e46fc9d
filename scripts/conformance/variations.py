"""What is varied: for each family a configuration, and fields of it that are set to something else or left out.

A case is (name, fields to set, fields to leave out). Every field of the family's configuration class in transformers must occur (goldens.py checks it):
fields that change nothing are there to prove that.
"""

ABSENT = object()


def case(name, extra_tensors=None, **fields):
    return {
        "name": name,
        "set": {key: value for key, value in fields.items() if value is not ABSENT},
        "absent": [key for key, value in fields.items() if value is ABSENT],
        "extra_tensors": extra_tensors or {},
    }


def one_by_one(**fields):
    """A case for each value of each field; a list's values in turn."""
    for key, values in fields.items():
        for value in values:
            text = "absent" if value is ABSENT else str(value)
            yield case(f"{key}: {text}", **{key: value})


def yarn(**more):
    return {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, **more}


def rope_cases():
    """The spellings of rotary embeddings, which every family shares."""
    scalings = {
        "null": None,
        "empty": {},
        "default": {"rope_type": "default"},
        "default with theta": {"rope_type": "default", "rope_theta": 50.0},
        "old default": {"type": "default"},
        "yarn": yarn(),
        "yarn as rope_type": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        "yarn, both spellings": {**yarn(), "rope_type": "yarn"},
        "yarn with theta": yarn(rope_theta=300.0),
        "yarn, positions absent": {"type": "yarn", "factor": 4.0},
        "yarn, factor null": yarn(factor=None),
        "yarn, factor 1": yarn(factor=1.0),
        "yarn, factor 0.5": yarn(factor=0.5),
        "yarn, whole numbers": {**yarn(factor=4, beta_fast=16, beta_slow=2)},
        "yarn, betas": yarn(beta_fast=4.0, beta_slow=0.25),
        "yarn, betas 0": yarn(beta_fast=0, beta_slow=0),
        "yarn, betas null": yarn(beta_fast=None, beta_slow=None),
        "yarn, not truncated": yarn(truncate=False, beta_fast=4.0, beta_slow=0.5),
        "yarn, truncated": yarn(truncate=True, beta_fast=4.0, beta_slow=0.5),
        "yarn, mscale both": yarn(mscale=1.0, mscale_all_dim=1.0),
        "yarn, mscale unequal": yarn(mscale=0.707, mscale_all_dim=1.5),
        "yarn, mscale alone": yarn(mscale=0.7),
        "yarn, mscale_all_dim alone": yarn(mscale_all_dim=0.7),
        "yarn, mscale 0": yarn(mscale=0, mscale_all_dim=1.0),
        "yarn, mscale_all_dim 0": yarn(mscale=0.7, mscale_all_dim=0),
        "yarn, mscale both 0": yarn(mscale=0.0, mscale_all_dim=0.0),
        "yarn, mscale null": yarn(mscale=None, mscale_all_dim=None),
        "yarn, attention_factor": yarn(attention_factor=0.8),
        "yarn, attention_factor 0.0": yarn(attention_factor=0.0),
        "yarn, attention_factor null": yarn(attention_factor=None),
        "yarn, attention_factor beside mscale": yarn(attention_factor=1.3, mscale=0.7, mscale_all_dim=1.0),
        "yarn, partial_rotary_factor": yarn(partial_rotary_factor=0.5),
        "linear": {"rope_type": "linear", "factor": 4.0},
        "dynamic": {"rope_type": "dynamic", "factor": 4.0},
        "llama3": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
        "longrope": {
            "rope_type": "longrope",
            "factor": 4.0,
            "long_factor": [1.0, 2.0, 3.0, 4.0],
            "short_factor": [1.0, 1.5, 2.0, 2.5],
            "original_max_position_embeddings": 32,
        },
        "proportional": {"rope_type": "proportional", "partial_rotary_factor": 0.5},
    }
    for name, scaling in scalings.items():
        yield case(f"rope_scaling: {name}", rope_scaling=scaling)
        yield case(f"rope_parameters: {name}", rope_parameters=scaling)
    yield case("rope_scaling and rope_parameters", rope_scaling=yarn(), rope_parameters={"rope_type": "default"})
    yield case("empty rope_scaling and rope_parameters", rope_scaling={}, rope_parameters=yarn(rope_type="yarn"))
    yield case("rope_scaling without theta beside rope_parameters", rope_scaling=yarn(), rope_parameters={"rope_type": "default", "rope_theta": 77.0})
    yield case("rope_parameters with theta, rope_theta absent", rope_parameters={"rope_type": "default", "rope_theta": 77.0}, rope_theta=ABSENT)
    yield case("original_max_position_embeddings beside yarn", rope_scaling=yarn(), original_max_position_embeddings=64)
    yield case("original_max_position_embeddings alone", original_max_position_embeddings=64)
    yield case("partial_rotary_factor", partial_rotary_factor=0.5)
    yield case("partial_rotary_factor in rope_parameters", rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5})
    yield from one_by_one(rope_theta=[100.0, 1000000, ABSENT], max_position_embeddings=[64, ABSENT])
    yield case("max_position_embeddings: 64, yarn", max_position_embeddings=64, rope_scaling={"type": "yarn", "factor": 4.0})


#: Fields of every configuration that say nothing about logits.
NEUTRAL = dict(
    initializer_range=[0.5],
    use_cache=[False],
    pad_token_id=[3, ABSENT],
    bos_token_id=[2, ABSENT],
    eos_token_id=[5, [5, 6], ABSENT],
    output_router_logits=[True],
    dtype=["bfloat16"],
    torch_dtype=["float16"],
    transformers_version=["4.33.1"],
    architectures=[["SomethingElse"]],
)

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
    yield from rope_cases()


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
        shared_expert_intermediate_size=[16],
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
    yield from rope_cases()


FAMILIES = {
    "deepseek_v3": (DEEPSEEK_V3, deepseek_v3),
    "qwen3_moe": (QWEN3_MOE, qwen3_moe),
}
