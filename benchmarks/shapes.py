"""Sizes of the random Llamas that the benchmarks train. Weights do not matter for speed or memory, shapes do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    name: str
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    tied: bool
    """Whether the head is the embedding."""
    positions: int = 4096

    @property
    def head(self) -> int:
        return self.hidden // self.heads

    def linears(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of each linear layer of one block."""
        h, i, kv = self.hidden, self.intermediate, self.kv_heads * self.head
        return {
            "q_proj": (h, h),
            "k_proj": (h, kv),
            "v_proj": (h, kv),
            "o_proj": (h, h),
            "gate_proj": (h, i),
            "up_proj": (h, i),
            "down_proj": (i, h),
        }

    def config(self):
        """The transformers configuration of this shape."""
        from transformers import LlamaConfig

        return LlamaConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            intermediate_size=self.intermediate,
            max_position_embeddings=self.positions,
            tie_word_embeddings=self.tied,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=0,
            use_cache=False,
        )


SMALL = Shape("29M", 8192, 512, 8, 8, 8, 1376, tied=True, positions=2048)
"""29.5M parameters: the comparison on CPU."""
HALF_B = Shape("0.5B", 151936, 896, 24, 14, 2, 4864, tied=True)
"""0.49B: the sizes of Qwen2.5-0.5B."""
SEVEN_B = Shape("7B", 32000, 4096, 32, 32, 8, 14336, tied=False)
"""7.2B: the sizes of Mistral-7B."""
TINY = Shape("tiny", 256, 64, 2, 4, 2, 128, tied=True, positions=512)
"""For a trial run of a script."""
