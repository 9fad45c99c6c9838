"""The settings of a run on the model's own answers (ppo, rloo, grpo). Free of torch.

The text under each field is also the command's help.
"""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass
class RlhfConfig:
    """One run of reinforcement learning from a reward: everything that is needed to run it again."""

    model: str
    """Folder or hub id of the model to start from, usually after SFT; or of a PEFT adapter to continue."""
    data: str
    """Prompts: rows with a `prompt` (text or messages), or any preference data or demonstrations, whose answers are
    not used."""
    out: str
    """Folder of the run. Made new; an existing run is only entered with --resume."""
    reward: str
    """What scores an answer: the folder of a reward model (pairwright train reward), or a Python function as
    module:function or file.py:function. Several are separated by commas."""
    method: str = "ppo"
    """ppo, rloo or grpo."""
    options: dict[str, Any] = field(default_factory=dict)
    """The method's own settings; on the command line they are flags."""

    reward_weights: str | None = None
    """A number for each of several rewards, separated by commas. Default: 1 each."""
    reward_seconds: float = 60.0
    """Longest time that a Python function may take for the answers of one step."""
    missing_eos_penalty: float = 1.0
    """Taken off the score of an answer that did not end by itself."""
    length_penalty: float = 0.0
    """Taken off the score for each token of an answer beyond `length_free`."""
    length_free: int = 0
    """Tokens of an answer that cost nothing."""
    format_pattern: str | None = None
    """A regular expression that an answer must match somewhere."""
    format_penalty: float = 1.0
    """Taken off the score of an answer that does not match `format_pattern`."""

    samples_per_prompt: int = 4
    """Answers to each prompt."""
    prompts_per_step: int = 16
    """Prompts in one step."""
    max_new_tokens: int = 128
    """Longest answer in tokens."""
    temperature: float = 1.0
    """Sampling temperature; probabilities of the update are those at this temperature too. Above 0."""
    sample_rows: int = 128
    """Answers generated at the same time."""
    sampler_tolerance: float = 0.05
    """The run stops where sampler and trainer differ by more than this on the mean log-probability of a token."""

    format: str | None = None
    """Format of the data, where it should not be recognised: prompts, or one of pairwright train's."""
    split: str = "train"
    """Split of a hub data set."""
    eval_data: str | None = None
    """Held-out prompts. Without it, `eval_fraction` of the prompts is held out."""
    eval_split: str = "test"
    """Split of `eval_data` where that is a hub data set."""
    eval_fraction: float = 0.05
    """Share of the prompts held out when there is no `eval_data`; 0 for none."""
    chat_template: str | None = None
    """A Jinja file to use instead of the tokenizer's chat template; `text` for the plain "Human: / Assistant:" form."""
    max_prompt_length: int | None = None
    """Longest prompt in tokens; older turns are cut. Default: what the model can take, less `max_new_tokens`."""

    tuning: Literal["lora", "qlora", "full"] = "lora"
    """What of the policy is trained: an adapter, an adapter on a 4-bit base, or every weight. The value role is an
    adapter in any case."""
    lora_r: int = 16
    """Rank of the adapters."""
    lora_alpha: int = 32
    """Scale of the adapters: their output is multiplied by lora_alpha / lora_r."""
    lora_targets: str = "all-linear"
    """Names of the layers that get adapters, separated by commas; `all-linear` for every linear layer but the head."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the weights. auto: bfloat16 where the device has it, float16 on older GPUs, float32 on CPU."""
    gradient_checkpointing: Literal["auto", "on", "off"] = "auto"
    """Recompute activations in the backward pass. auto: decided from an estimate of the memory, and said."""
    attention: Literal["auto", "dense", "segments", "varlen", "flex", "rows"] = "auto"
    """How attention runs over shared prefixes in the update; `rows` computes each sequence by itself."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Only for models whose code you have read."""

    steps: int | None = None
    """Batches of prompts to learn from. Overrides `epochs`."""
    epochs: float = 1.0
    """Passes over the prompts."""
    tokens_per_batch: int | None = None
    """Tokens in one forward pass of the update. Default: from the device's memory. Changes the result by rounding
    alone where the answers to one prompt fit in it; otherwise they may fall into several minibatches. May be changed
    with --resume."""
    learning_rate: float | None = None
    """Peak learning rate of the policy. Default: the method's, for full or adapter training."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rates fall after the warm-up, step by step."""
    warmup: float = 0.1
    """Share of the steps in which the learning rates rise from 0."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = 1.0
    """Gradients with a larger norm are scaled down to it; the value role's apart."""
    seed: int = 0
    """Seed of the order, the split, the adapters and the samples."""

    save_every: int = 10
    """Steps between checkpoints. The last step is always saved."""
    keep_checkpoints: int = 2
    """Checkpoints kept; older ones go after a newer one has been verified."""
    eval_every: int | None = None
    """Steps between evaluations on the held-out prompts. Default: ten times a run."""
    sample_prompts: int = 4
    """Held-out prompts whose answers are kept at every evaluation; 0 for none."""
    resume: bool = False
    """Go on from the newest complete checkpoint in `out`."""
