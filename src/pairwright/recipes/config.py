"""The settings of a training run. Free of torch, so that the command line can show them at once.

The text under each field is also the command's help. Names on the right of ALIASES are those that TRL users know.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

ALIASES = {
    "model": ("model_name_or_path",),
    "data": ("dataset_name", "train_file"),
    "out": ("output_dir",),
    "eval_data": ("eval_file",),
    "max_length": ("max_seq_length",),
    "epochs": ("num_train_epochs",),
    "steps": ("max_steps",),
    "max_grad_norm": ("gradient_clipping",),
    "nll_weight": ("rpo_alpha",),
    "save_every": ("save_steps",),
    "eval_every": ("eval_steps",),
    "keep_checkpoints": ("save_total_limit",),
    "schedule": ("lr_scheduler_type",),
    "warmup": ("warmup_steps", "warmup_ratio"),
    "lora_targets": ("lora_target_modules",),
    "tracker": ("report_to",),
}


@dataclass
class TrainConfig:
    """One training run: everything that is needed to run it again."""

    model: str
    """Folder or hub id of a causal language model, or of a PEFT adapter to continue."""
    data: str
    """A .jsonl, .jsonl.gz, .json, .csv or .parquet file, a folder of them, or the hub id of a data set."""
    out: str
    """Folder of the run. Made new; an existing run is only entered with --resume."""
    method: str = "dpo"
    """The objective: the name of a file in pairwright/objectives."""
    options: dict[str, Any] = field(default_factory=dict)
    """The objective's own settings, such as {"beta": 0.1}; on the command line they are flags."""

    format: str | None = None
    """Format of the data, where it should not be recognised from the columns."""
    split: str = "train"
    """Split of a hub data set."""
    eval_data: str | None = None
    """Held-out file. Without it, `eval_fraction` of the data is held out."""
    eval_split: str = "test"
    """Split of `eval_data` where that is a hub data set."""
    eval_fraction: float = 0.05
    """Share of the examples held out when there is no `eval_data`; 0 for none."""
    chat_template: str | None = None
    """A Jinja file to use instead of the tokenizer's chat template; `text` for the plain "Human: / Assistant:" form."""
    turns: Literal["all", "last"] = "all"
    """Which assistant turns of an answer are scored: `all` from where the answers to compare part, or its `last` one.
    User, system and tool tokens never are."""
    ties: Literal["drop", "half"] = "drop"
    """Answers of which neither is preferred (equal ratings, evenly split votes): left out, or trained on as half a
    preference either way."""
    margins: Literal["data", "scores"] = "data"
    """By how much an answer is better, for methods that use it: the data's column `margin`, or the difference of the
    two ratings."""
    dimensions: str | None = None
    """Weights of the dimensions that annotators voted on, such as `helpful=2,harmless=1`: the weighed shares of the
    votes make the label. Without, all dimensions weigh the same."""
    max_length: int | None = None
    """Longest sequence in tokens. Default: what the model can take, at most 2048."""

    tuning: Literal["lora", "qlora", "full"] = "lora"
    """What is trained: adapters, adapters on a 4-bit base, or every weight."""
    lora_r: int = 16
    """Rank of the adapters."""
    lora_alpha: int = 32
    """Scale of the adapters: their output is multiplied by lora_alpha / lora_r."""
    lora_dropout: float = 0.0
    """Dropout on the adapters' input, during training."""
    lora_targets: str = "all-linear"
    """Names of the layers that get adapters, separated by commas; `all-linear` for every linear layer but the head."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the weights. auto: bfloat16 where the device has it, float16 on older GPUs, float32 on CPU."""
    gradient_checkpointing: Literal["auto", "on", "off"] = "auto"
    """Recompute activations in the backward pass. auto: decided from an estimate of the memory, and said."""
    attention: Literal["auto", "dense", "segments", "varlen", "flex", "rows"] = "auto"
    """How attention runs over shared prefixes; `rows` computes each sequence by itself."""
    reference: Literal["cache", "live"] = "cache"
    """Reference log-probabilities: computed once and kept on disk by content, or computed in every step."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Only for models whose code you have read."""

    steps: int | None = None
    """Optimiser steps. Overrides `epochs`."""
    epochs: float = 1.0
    """Passes over the data."""
    pairs_per_step: int = 8
    """Examples (pairs, rankings, solutions in steps, labelled answers, demonstrations) in one optimiser step, over all
    processes."""
    tokens_per_batch: int | None = None
    """Tokens in one forward pass. Default: from the device's memory. Beyond rounding, and which inputs `lora_dropout`
    drops, it changes the memory alone. May be changed with --resume."""
    learning_rate: float | None = None
    """Peak learning rate. Default: the objective's, for full or adapter training."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises from 0; from 1 on, the number of these steps."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = 1.0
    """Gradients with a larger norm are scaled down to it."""
    spike_limit: float = 50.0
    """Stop, before anything is changed, at a loss, gradient or reward that lies more than this many standard deviations
    from those of the last 100 steps (docs/metrics.md). 0: never."""
    nll_weight: float = 0.0
    """Weight of an added negative log-likelihood of the chosen answer, per token."""
    seed: int = 0
    """Seed of the order, the split, the adapters and dropout."""

    save_every: int = 100
    """Steps between checkpoints. The last step is always saved."""
    keep_checkpoints: int = 2
    """Checkpoints kept; older ones go after a newer one has been verified."""
    eval_every: int | None = None
    """Steps between evaluations on the held-out examples. Default: ten times a run."""
    sample_prompts: int = 4
    """Held-out prompts that the model answers as training goes on; 0 for none."""
    sample_tokens: int = 64
    """Longest of these answers, in tokens."""
    resume: bool = False
    """Go on from the newest complete checkpoint in `out`."""
    tracker: Literal["none", "tensorboard", "wandb"] = "none"
    """Where metrics go besides metrics.jsonl, through Accelerate."""
