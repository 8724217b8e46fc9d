"""MiniMax-M2."""

from cases import ABSENT, SHARED, SMALL, Family, case, one_by_one, rope_cases

MINIMAX_M2 = dict(
    **SMALL,
    model_type="minimax_m2",
    num_key_value_heads=2,
    head_dim=16,
    rotary_dim=8,
    intermediate_size=20,
    num_local_experts=6,
    num_experts_per_tok=3,
    attn_type_list=[1, 1, 1],
    use_qk_norm=True,
    qk_norm_type="per_layer",
    scoring_func="sigmoid",
    use_routing_bias=True,
    shared_intermediate_size=0,
    use_mtp=True,
    num_mtp_modules=1,
    mtp_transformer_layers=1,
)


def minimax_m2():
    yield case("base")
    yield from one_by_one(
        **SHARED,
        num_key_value_heads=[1, 4],
        head_dim=[24, ABSENT],
        rotary_dim=[16, 4, ABSENT],
        intermediate_size=[12],
        num_local_experts=[12, ABSENT],
        num_experts_per_tok=[1, 6, ABSENT],
        attn_type_list=[[1, 0, 1], ABSENT],
        use_qk_norm=[False, ABSENT],
        qk_norm_type=["per_head", ABSENT],
        scoring_func=["softmax", ABSENT],
        use_routing_bias=[False, ABSENT],
        shared_intermediate_size=[12, ABSENT],
        router_aux_loss_coef=[0.5],
        router_jitter_noise=[0.5],
        num_mtp_modules=[0, ABSENT],
        num_experts=[6],
        sliding_window=[4],
    )
    yield case("partial_rotary_factor, rotary_dim absent", partial_rotary_factor=0.25, rotary_dim=ABSENT)
    yield case("partial_rotary_factor and rotary_dim differ", partial_rotary_factor=0.25)
    yield case("num_local_experts as num_experts", num_local_experts=ABSENT, num_experts=6)
    yield case("MTP is there", {"model.layers.3.enorm.weight": [36], "model.mtp.layers.0.e_norm.weight": [36]})
    yield from rope_cases(4)


FAMILIES = {"minimax_m2": Family(MINIMAX_M2, minimax_m2)}
