"""What the model says to a few fixed prompts as training goes on."""

from collections.abc import Iterable, Sequence
from typing import Any

from pairwright.backbone.load import Backbone
from pairwright.backbone.rows import plain_attention
from pairwright.feedback.sample import end_ids, sample_ids
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.data import longest_sequence, read_template
from pairwright.records import Message, Preference, Record
from pairwright.tokens.chat import prompt_ids


class Sampler:
    """Greedy answers to fixed prompts, so that they change only when the model does."""

    def __init__(self, backbone: Backbone, records: Sequence[Record], config: TrainConfig, display: Any) -> None:
        self.backbone = backbone
        self.tokens = config.sample_tokens
        template, longest = read_template(config.chat_template), config.max_length or longest_sequence(backbone)
        room = max(8, longest - self.tokens)
        prompts = [(r, prompt_ids(r, backbone.tokenizer, template, room)) for r in records]
        # A prompt can be empty (text without one, no BOS): there is nothing to answer to.
        self.prompts = [(record, ids) for record, ids in prompts if ids]

    def sample(self) -> Iterable[dict[str, Any]]:
        """One entry per prompt: the prompt's text, the model's completion, and the chosen answer."""
        tokenizer = self.backbone.tokenizer
        for (record, ids), answer in zip(self.prompts, self._answers()):
            chosen = record.chosen if isinstance(record, Preference) else record.completion
            yield {
                "prompt": tokenizer.decode(ids, skip_special_tokens=False),
                "completion": tokenizer.decode(answer, skip_special_tokens=True),
                "chosen": _text(chosen),
            }

    def _answers(self) -> list[list[int]]:
        backbone = self.backbone
        if not self.prompts:
            return []
        backbone.model.eval()
        with plain_attention(backbone.base, backbone.plain):
            ends = end_ids(backbone.base, backbone.tokenizer)
            answers = sample_ids(
                backbone.model,
                [ids for _, ids in self.prompts],
                end_ids=ends,
                temperature=0.0,
                max_new_tokens=self.tokens,
            )
        backbone.model.train()
        return [answer for ((answer, _),) in answers]


def _text(side: str | tuple[Message, ...]) -> str:
    return side if isinstance(side, str) else "\n".join(m.content for m in side)
