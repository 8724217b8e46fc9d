"""What is varied: fields of a family's configuration that are set to something else or left out.

A case is (name, fields to set, fields to leave out). Every field of the family's configuration class in transformers must occur (goldens.py checks it):
fields that change nothing are there to prove that.
"""

from dataclasses import dataclass, field
from typing import Callable, Iterable

ABSENT = object()


@dataclass(frozen=True)
class Family:
    """A configuration and its cases."""

    base: dict
    cases: Callable[[], Iterable[dict]]
    #: The part of the configuration that cases vary; None: all of it.
    within: str | None = None
    #: The model_type under which transformers knows the family, where its own is unknown to it.
    judge: str | None = None
    #: The family whose cases vary the fields that this one's don't.
    covered_by: str | None = None
    #: The library whose layer is judged within transformers' blocks.
    library: str | None = None
    #: Parts of tensors' names that transformers writes otherwise than checkpoints are published.
    published: dict[str, str] = field(default_factory=dict)

    def text_config(self) -> dict:
        return self.base if self.within is None else self.base[self.within]


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


def spelt_rope_cases():
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
    yield case("rope_parameters with theta, rope_theta null", rope_parameters={"rope_type": "default", "rope_theta": 77.0}, rope_theta=None)
    yield case("rope_parameters by kind of layer", rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 77.0}}, rope_theta=ABSENT)
    yield case("rope_parameters with theta, rope_theta absent", rope_parameters={"rope_type": "default", "rope_theta": 77.0}, rope_theta=ABSENT)
    yield case("original_max_position_embeddings beside yarn", rope_scaling=yarn(), original_max_position_embeddings=64)
    yield case("original_max_position_embeddings alone", original_max_position_embeddings=64)
    yield case("partial_rotary_factor", partial_rotary_factor=0.5)
    yield case("partial_rotary_factor in rope_parameters", rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5})
    yield from one_by_one(rope_theta=[100.0, 1000000, ABSENT], max_position_embeddings=[64, ABSENT])
    yield case("max_position_embeddings: 64, yarn", max_position_embeddings=64, rope_scaling={"type": "yarn", "factor": 4.0})


def rope_cases(half_dim):
    """One case of each kind of rotary embedding. half_dim: frequencies of a head."""
    scalings = {
        "default with theta": {"rope_type": "default", "rope_theta": 50.0},
        "yarn": yarn(),
        "yarn, mscale unequal": yarn(mscale=0.707, mscale_all_dim=1.5),
        "yarn, not truncated": yarn(truncate=False, beta_fast=4.0, beta_slow=0.5),
        "yarn, attention_factor": yarn(attention_factor=0.8),
        "linear": {"type": "linear", "factor": 4.0},
        "dynamic": {"type": "dynamic", "factor": 4.0},
        "llama3": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
        "longrope": longrope(half_dim),
        "longrope, short": longrope(half_dim, original_max_position_embeddings=32),
        "longrope, attention_factor": longrope(half_dim, attention_factor=0.8),
        "proportional": {"rope_type": "proportional", "partial_rotary_factor": 0.5},
    }
    for name, scaling in scalings.items():
        yield case(f"rope_scaling: {name}", rope_scaling=scaling)
    yield case("rope_parameters", rope_parameters={"rope_type": "default", "rope_theta": 70.0}, rope_theta=ABSENT)
    yield case("rope_parameters: linear", rope_parameters={"rope_type": "linear", "rope_theta": 70.0, "factor": 2.0})
    yield case("dynamic, beyond max_position_embeddings", rope_scaling={"type": "dynamic", "factor": 4.0}, max_position_embeddings=16)
    yield case("partial_rotary_factor", partial_rotary_factor=0.5)
    yield from one_by_one(rope_theta=[100.0, 1000000, ABSENT], max_position_embeddings=[64, ABSENT])


def longrope(half_dim, **more):
    factors = {"long_factor": [1.0 + 0.5 * i for i in range(half_dim)], "short_factor": [1.0 + 0.25 * i for i in range(half_dim)]}
    return {"type": "longrope", "factor": 4.0, **factors, "original_max_position_embeddings": 16, **more}


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

#: What most configurations here share: sizes that are no multiples of 16.
SMALL = dict(
    vocab_size=29,
    hidden_size=36,
    num_hidden_layers=3,
    num_attention_heads=4,
    hidden_act="silu",
    max_position_embeddings=128,
    rms_norm_eps=1e-5,
    tie_word_embeddings=False,
    rope_theta=1000.0,
    bos_token_id=0,
    eos_token_id=1,
)

#: And of those with latent attention.
SMALL_LATENT = dict(
    **SMALL,
    num_key_value_heads=4,
    intermediate_size=28,
    moe_intermediate_size=20,
    n_routed_experts=6,
    num_experts_per_tok=3,
    q_lora_rank=20,
    kv_lora_rank=12,
    qk_nope_head_dim=12,
    qk_rope_head_dim=8,
    v_head_dim=20,
    attention_bias=False,
)

#: What most families' configurations share, and values of it.
SHARED = dict(
    **NEUTRAL,
    vocab_size=[48],
    hidden_size=[24],
    num_hidden_layers=[2],
    num_attention_heads=[2],
    hidden_act=["gelu", "relu", "swish", ABSENT],
    rms_norm_eps=[0.05, 1e-12, 0.0, ABSENT],
    tie_word_embeddings=[True, ABSENT],
    attention_dropout=[0.5],
)
