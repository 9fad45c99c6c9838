"""What `--reward` names, as one function that scores a batch of answers: reward models, Python functions, penalties.

A reward model that is an adapter on the policy's own base becomes a role on it (backbone/roles.py); another one is
loaded beside it, with a base of its own. Scores are added up by their weights; penalties are taken off the sum.
"""

import math
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pairwright.backbone import adapters, heads, reward_files
from pairwright.backbone.adapters import LoraSettings
from pairwright.backbone.load import Backbone, folder_digest
from pairwright.backbone.roles import Roles
from pairwright.errors import ConfigError
from pairwright.feedback.verifier import Verifier
from pairwright.reading.questions import Question
from pairwright.recipes.rlhf_config import RlhfConfig
from pairwright.records import Message
from pairwright.tokens import chat, trie
from pairwright.tokens.batches import micro_batches
from pairwright.tokens.sequences import Example, TokenSequence
from pairwright.training.rollouts import Answer, Prompt, Scored, Scorer, examples_of

Part = Callable[[Sequence[Prompt], Sequence[Sequence[Answer]], Sequence[Sequence[str]]], list[float]]
"""(prompts, answers, their texts) -> one number an answer."""


@dataclass(frozen=True)
class Named:
    """One of the rewards that a run asks for."""

    text: str
    """As it was given."""
    weight: float
    function: bool
    """A Python function; else a reward model."""
    shared: bool = False
    """A reward model that is an adapter on the policy's base."""

    @property
    def name(self) -> str:
        """What the log calls it."""
        if self.function:
            return self.text.rpartition(":")[2]
        path = Path(self.text)
        return path.parent.name if path.name == "model" and path.parent.name else path.name


def named(config: RlhfConfig) -> list[Named]:
    """The rewards of a run. Raises ConfigError for weights that do not fit, and for the same name twice."""
    texts = [text.strip() for text in config.reward.split(",") if text.strip()]
    if not texts:
        raise ConfigError("--reward names nothing: give a reward model's folder, or a function as module:function")
    weights = [1.0] * len(texts)
    if config.reward_weights is not None:
        try:
            weights = [float(word) for word in config.reward_weights.split(",")]
        except ValueError as error:
            raise ConfigError(f"--reward-weights {config.reward_weights}: {error}") from error
        if len(weights) != len(texts) or not all(map(math.isfinite, weights)):
            raise ConfigError(
                f"--reward-weights {config.reward_weights}: {len(texts)} rewards need as many finite numbers"
            )
    found = []
    for text, weight in zip(texts, weights):
        function = ":" in text and not Path(text).exists()
        found.append(Named(text, weight, function, not function and _on_the_same_base(text, config.model)))
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise ConfigError(f"--reward {config.reward}: two rewards are called {max(names, key=names.count)}")
    return found


def _on_the_same_base(reward: str, policy: str) -> bool:
    """Whether the reward model is an adapter, and its base has the weights of the policy's."""
    folder = adapters.folder_of(reward)
    if folder is None:
        return False
    own = adapters.folder_of(policy)
    ours = adapters.base_of(str(own)) if own is not None else policy
    theirs = adapters.base_of(str(folder))
    if not (Path(ours).is_dir() and Path(theirs).is_dir()):
        return ours == theirs
    return Path(ours).resolve() == Path(theirs).resolve() or folder_digest(Path(ours)) == folder_digest(Path(theirs))


def make_scorer(
    config: RlhfConfig, rewards: Sequence[Named], roles: Roles, tokens_per_batch: int, stack: ExitStack
) -> Scorer:
    """The function that scores a batch. What it holds open is closed with `stack`."""
    parts: dict[str, Part] = {}
    shared = 0
    for each in rewards:
        if each.function:
            parts[each.name] = _function(stack.enter_context(Verifier(each.text, config.reward_seconds)))
        elif each.shared:
            parts[each.name] = _role(roles, shared, tokens_per_batch)
            shared += 1
        else:
            parts[each.name] = _model(config, each.text, roles.policy, tokens_per_batch)
    weights = {each.name: each.weight for each in rewards}
    tokenizer: Any = roles.policy.tokenizer

    def score(prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]]) -> Scored:
        texts = [[tokenizer.decode(list(a.ids), skip_special_tokens=True) for a in own] for own in answers]
        found = {name: part(prompts, answers, texts) for name, part in parts.items()}
        taken = penalties(config, answers, texts)
        count = sum(map(len, answers))
        total = [
            sum(weights[name] * values[i] for name, values in found.items()) - sum(v[i] for v in taken.values())
            for i in range(count)
        ]
        return Scored(total, {**found, **{f"penalty_{name}": values for name, values in taken.items()}})

    return score


def penalties(
    config: RlhfConfig, answers: Sequence[Sequence[Answer]], texts: Sequence[Sequence[str]]
) -> dict[str, list[float]]:
    """What is taken off each answer's score, by name; only those that are switched on."""
    flat = [answer for own in answers for answer in own]
    out: dict[str, list[float]] = {}
    if config.missing_eos_penalty:
        out["missing_eos"] = [0.0 if answer.ended else config.missing_eos_penalty for answer in flat]
    if config.length_penalty:
        over = [max(0, len(answer.ids) - config.length_free) for answer in flat]
        out["length"] = [config.length_penalty * tokens for tokens in over]
    if config.format_pattern is not None:
        pattern = re.compile(config.format_pattern)
        said = [text for own in texts for text in own]
        out["format"] = [0.0 if pattern.search(text) else config.format_penalty for text in said]
    return out


def _function(verifier: Verifier) -> Part:
    def part(
        prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]], texts: Sequence[Sequence[str]]
    ) -> list[float]:
        rows: list[Question] = [prompt.record for prompt, own in zip(prompts, answers) for _ in own]
        names = dict.fromkeys(name for row in rows for name in row.columns)
        columns: dict[str, list[Any]] = {name: [row.columns.get(name) for row in rows] for name in names}
        columns |= {
            "prompts": [_plain(row.record.prompt) for row in rows],
            "completions": [text for own in texts for text in own],
            "ended": [answer.ended for own in answers for answer in own],
        }
        return verifier(columns)

    return part


def _plain(prompt: str | tuple[Message, ...]) -> Any:
    return prompt if isinstance(prompt, str) else [{"role": m.role, "content": m.content, **m.extra} for m in prompt]


def _role(roles: Roles, which: int, tokens_per_batch: int) -> Part:
    def part(prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]], _texts: Any) -> list[float]:
        examples = examples_of(prompts, answers, tokens_per_batch)
        batches = micro_batches(examples, tokens_per_batch)
        found = [roles.scores(trie.build(batch, with_last=True), which) for batch in batches]
        return torch.cat(found).tolist()

    return part


def _model(config: RlhfConfig, name: str, policy: Backbone, tokens_per_batch: int) -> Part:
    """A reward model of its own. It reads the policy's tokens where both have the same tokenizer, else the texts."""
    backbone = reward_files.load(
        name,
        new=False,
        tuning="full" if adapters.folder_of(name) is None else "lora",
        lora=LoraSettings(),
        precision=config.precision,
        attention=config.attention,
        device=policy.device,
        trust_remote_code=config.trust_remote_code,
    )
    backbone.model.requires_grad_(False).eval()
    head = heads.head_named(backbone)
    same = backbone.tokenizer.get_vocab() == policy.tokenizer.get_vocab() and (
        backbone.tokenizer.chat_template == policy.tokenizer.chat_template
    )

    @torch.no_grad()
    def part(
        prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]], texts: Sequence[Sequence[str]]
    ) -> list[float]:
        if same:
            examples = examples_of(prompts, answers, tokens_per_batch)
        else:
            examples = [_retokenised(backbone, *each, config.chat_template) for each in zip(prompts, answers, texts)]
        found = [
            heads.scores(backbone, trie.build(batch, with_last=True), head)
            for batch in micro_batches(examples, tokens_per_batch)
        ]
        return torch.cat(found).tolist()

    return part


def _retokenised(
    backbone: Backbone, prompt: Prompt, answers: Sequence[Answer], texts: Sequence[str], template: str | None
) -> Example:
    """The answers to one prompt in another model's tokens; one that ended by itself gets that model's end."""
    tokenizer = backbone.tokenizer
    positions = getattr(backbone.base.config.get_text_config(), "max_position_embeddings", None) or 1 << 30
    end = chat.end_ids(tokenizer, template)[0]
    tails = [
        [*tokenizer(text, add_special_tokens=False)["input_ids"], *([end] if answer.ended else [])]
        for text, answer in zip(texts, answers)
    ]
    tails = [tail or [end] for tail in tails]
    room = positions - max(map(len, tails))
    start = chat.prompt_ids(prompt.record.record, tokenizer, template, room)
    sequences = [np.array([*start, *tail], dtype=np.int64) for tail in tails]
    return Example(tuple(TokenSequence(ids, np.arange(len(ids)) >= len(start)) for ids in sequences), prompt.source)
