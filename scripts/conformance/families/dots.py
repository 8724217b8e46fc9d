"""dots.llm1."""

from cases import ABSENT, SHARED, SMALL, Family, case, one_by_one, rope_cases

DOTS1 = dict(
    **SMALL,
    model_type="dots1",
    num_key_value_heads=2,
    head_dim=12,
    intermediate_size=28,
    moe_intermediate_size=20,
    n_routed_experts=6,
    num_experts_per_tok=3,
    n_shared_experts=2,
    first_k_dense_replace=1,
    n_group=1,
    topk_group=1,
    topk_method="noaux_tc",
    scoring_func="noaux_tc",
    norm_topk_prob=True,
    routed_scaling_factor=2.5,
    attention_bias=False,
    sliding_window=None,
    max_window_layers=3,
    layer_types=["full_attention"] * 3,
)


def dots1():
    yield case("base")
    yield from one_by_one(
        **SHARED,
        num_key_value_heads=[1, 4, None],
        head_dim=[8, None, ABSENT],
        intermediate_size=[20],
        moe_intermediate_size=[12],
        n_routed_experts=[12],
        num_experts_per_tok=[1, 4],
        n_shared_experts=[1, None],
        first_k_dense_replace=[0, 2, ABSENT],
        n_group=[2, 3, None, ABSENT],
        topk_group=[None, ABSENT],
        norm_topk_prob=[False, ABSENT],
        routed_scaling_factor=[1.0, ABSENT],
        attention_bias=[True, ABSENT],
        sliding_window=[4, ABSENT],
        max_window_layers=[1, ABSENT],
        layer_types=[ABSENT],
        scoring_func=["sigmoid", "softmax", ABSENT],
        topk_method=["greedy"],
        moe_layer_freq=[1, 2],
        use_sliding_window=[True],
        num_local_experts=[6],
    )
    yield case("groups", n_group=3, topk_group=2)
    yield case("sliding window of the last layers", sliding_window=4, max_window_layers=1, layer_types=ABSENT)
    yield case("sliding window by layer_types", sliding_window=4, layer_types=["full_attention", "sliding_attention", "full_attention"])
    yield from rope_cases(6)


FAMILIES = {"dots1": Family(DOTS1, dots1)}
