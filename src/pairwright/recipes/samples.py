"""What the model says to a few fixed prompts as training goes on."""

from collections.abc import Iterable, Sequence
from typing import Any

from pairwright.backbone.load import Backbone
from pairwright.backbone.rows import plain_attention
from pairwright.errors import DataError
from pairwright.feedback.sample import end_ids as model_ends
from pairwright.feedback.sample import sample_ids
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.data import LONGEST, longest_sequence
from pairwright.records import Message, Ranking, Record, answers
from pairwright.tokens.chat import end_ids, prompt_ids


class Sampler:
    """Greedy answers to fixed prompts, so that they change only when the model does."""

    def __init__(self, backbone: Backbone, records: Sequence[Record], config: TrainConfig, display: Any) -> None:
        self.backbone = backbone
        self.tokens = config.sample_tokens
        template = config.chat_template
        room = min(config.max_length or LONGEST, longest_sequence(backbone)) - self.tokens
        self.ends = end_ids(backbone.tokenizer, template)
        self.prompts: list[tuple[Record, list[int]]] = []
        for record in records:
            try:
                ids = prompt_ids(record, backbone.tokenizer, template, room) if room > 1 else []
            except DataError:  # its last turn leaves no room for an answer: trained on, but not sampled from
                ids = []
            # A prompt can be empty too (text without one, no BOS): there is nothing to answer to.
            if ids:
                self.prompts.append((record, ids))
        if len(self.prompts) < len(records):
            display.say(f"samples: {len(records) - len(self.prompts)} prompts left out: empty, or too long to answer")

    def sample(self) -> Iterable[dict[str, Any]]:
        """One entry per prompt: the prompt's text, the model's completion, and the chosen answer."""
        tokenizer = self.backbone.tokenizer
        for (record, ids), answer in zip(self.prompts, self._answers()):
            chosen = answers(record)[record.best[0] if isinstance(record, Ranking) else 0]
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
        ends = sorted({*self.ends, *model_ends(backbone.base, backbone.tokenizer)})
        with plain_attention(backbone.base, backbone.plain):
            found = sample_ids(
                backbone.model,
                [ids for _, ids in self.prompts],
                end_ids=ends,
                temperature=0.0,
                max_new_tokens=self.tokens,
            )
        backbone.model.train()
        return [answer for ((answer, _),) in found]


def _text(side: str | tuple[Message, ...]) -> str:
    return side if isinstance(side, str) else "\n".join(m.content for m in side)
