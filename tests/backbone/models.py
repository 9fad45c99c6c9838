"""Tiny random models of many architectures, and examples that share prefixes more than one level deep."""

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from pairwright.records import Source
from pairwright.tokens.sequences import Example, TokenSequence

VOCABULARY = 61
COMMON = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
ARCHITECTURES = {
    "llama": dict(sliding_window=5),  # which a Llama does not have, whatever its config says
    "qwen2": dict(use_sliding_window=False),
    "qwen2 window": dict(use_sliding_window=True, sliding_window=5, max_window_layers=1),
    "qwen3": dict(head_dim=8),
    "mistral": dict(sliding_window=5, head_dim=8),
    "gemma2": dict(head_dim=8, sliding_window=5, attn_logit_softcapping=2.0, final_logit_softcapping=3.0),
    "gemma3_text": dict(head_dim=8, sliding_window=5),
    "phi3": dict(sliding_window=6),
    "gpt2": dict(n_embd=32, n_layer=3, n_head=4, n_positions=128),
    "gpt_neox": dict(num_key_value_heads=4),
    "granite": dict(logits_scaling=3.0, residual_multiplier=0.5, attention_multiplier=0.2),
    "cohere": dict(logit_scale=0.25),
    "gemma3n_text": dict(
        head_dim=8,
        intermediate_size=[48, 48, 48],
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        sliding_window=5,
        num_kv_shared_layers=1,
        altup_num_inputs=2,
        laurel_rank=4,
        hidden_size_per_layer_input=8,
        vocab_size_per_layer_input=VOCABULARY,
        activation_sparsity_pattern=[0.5, 0.0, 0.0],
    ),
}
PLAIN_ARCHITECTURES = {
    "llama4_text": dict(
        head_dim=8, num_local_experts=2, num_experts_per_tok=1, intermediate_size_mlp=48, attention_chunk_size=8
    ),
    "recurrent_gemma": dict(
        lru_width=32, attention_window_size=8, head_dim=8, block_types=["recurrent", "recurrent", "attention"]
    ),
    "mamba": dict(state_size=4, expand=2, conv_kernel=3),
    "falcon_h1": dict(head_dim=8, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_d_state=8, mamba_chunk_size=8),
}


def make(kind: str, seed: int = 0) -> torch.nn.Module:
    """A random model whose weights are large enough for attention to matter."""
    settings = {**COMMON, **ARCHITECTURES.get(kind, {}), **PLAIN_ARCHITECTURES.get(kind, {})}
    config = AutoConfig.for_model(kind.split()[0], **settings)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2 and "conv" not in name:
                parameter.normal_(0, 0.15)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def sequence(ids: list[int], first_supervised: int) -> TokenSequence:
    supervised = np.arange(len(ids)) >= first_supervised
    return TokenSequence(np.array(ids, dtype=np.int64), supervised)


def examples(seed: int = 0) -> list[Example]:
    """A pair, a ranking whose answers share beginnings (depth three), a lone sequence, and two examples that share a
    long prompt with each other."""
    rng = np.random.default_rng(seed)
    draw = lambda n: rng.integers(3, VOCABULARY, n).tolist()  # noqa: E731
    here = Source("made in the test", 1)
    prompt, stem, twig = draw(7), draw(4), draw(3)
    long = draw(20)
    return [
        Example((sequence(prompt + draw(5), 7), sequence(prompt + draw(8), 7)), here),
        Example(
            (
                sequence(long[:9] + stem + twig + draw(3), 9),
                sequence(long[:9] + stem + twig + draw(2), 9),
                sequence(long[:9] + stem + draw(4), 9),
                sequence(long[:9] + draw(6), 9),
            ),
            here,
        ),
        Example((sequence(draw(6), 1),), here),
        Example((sequence(long + draw(3), 20), sequence(long + draw(4), 20)), here),
        Example((sequence(long + draw(5), 20), sequence(long + draw(2), 20)), here),
    ]
