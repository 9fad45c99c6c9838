"""The reward model against TRL's RewardTrainer: one batch of pairs, loss and gradient. Run by parity_trl.py.

Both sides have the same classifier of one label and TRL's token ids. On ours a plain pass through the decoder, the
score at each row's last token that is not padding, and pairwright.objectives.reward. With margins and without, with
centring and without; the head's gradient is among those compared.
"""

import tempfile
from collections.abc import Callable

import torch
from datasets import Dataset
from torch import Tensor
from transformers import LlamaForSequenceClassification
from trl import RewardConfig, RewardTrainer

from pairwright.objectives import reward
from pairwright.objectives.inputs import Scores

DIFFERENCES = [
    "Pairwright's reward model is centred by default (eta 0.01); TRL's is not (center_rewards_coefficient None).",
    "Where a tokenizer has no padding token TRL takes its EOS, which transformers then takes for padding at the end of "
    "an answer: the score is read one token before the end. Pairwright reads it at the end, and saves the model with "
    "another padding token.",
    "TRL's min_reward and max_reward are means over micro-batches, Pairwright's are of the whole step; equal scores "
    "are half right in Pairwright's accuracy, in TRL's wrong.",
]


def classifier(network: torch.nn.Module) -> LlamaForSequenceClassification:
    """The decoder of a causal model with a head of its own."""
    config = network.config
    config.num_labels = 1
    torch.manual_seed(7)
    made = LlamaForSequenceClassification(config).float()
    made.model.load_state_dict(network.model.state_dict())
    return made


def cases(
    model: Callable[[int], torch.nn.Module],
    tokenizer: Callable[[], object],
    rows: Callable[[str], Dataset],
    side_of: Callable,
    compare: Callable,
) -> list[dict]:
    """What parity_trl.py makes of its other cases; `model` gives the network of a seed."""
    found = []
    for eta, margins in ((0.0, False), (0.05, False), (0.05, True)):
        data = rows("ragged")
        if margins:
            data = data.add_column("margin", [0.25 * number for number in range(len(data))])
        settings = {"center_rewards_coefficient": eta or None}
        with tempfile.TemporaryDirectory() as folder:
            config = RewardConfig(
                output_dir=folder,
                use_cpu=True,
                bf16=False,
                report_to="none",
                disable_tqdm=True,
                gradient_checkpointing=False,
                per_device_train_batch_size=len(data),
                max_length=64,
                **settings,
            )
            trainer = RewardTrainer(classifier(model(0)), args=config, train_dataset=data, processing_class=tokenizer())
            batch = trainer.data_collator([trainer.train_dataset[number] for number in range(len(data))])
            trl = side_of(trainer.compute_loss(trainer.model, dict(batch)), trainer.model)
        own = ours(classifier(model(0)), batch, eta, side_of)
        name = f"reward, eta {eta:g}{', margins' * margins}"
        found.append(compare(name, {"eta": eta}, settings, trl, own))
    return found


def ours(network: LlamaForSequenceClassification, batch: dict, eta: float, side_of: Callable) -> object:
    """Our loss and gradient on TRL's batch."""
    ids, attention = batch["input_ids"], batch["attention_mask"]
    hidden = network.model(input_ids=ids, attention_mask=attention).last_hidden_state
    last = (attention * torch.arange(ids.shape[1])).argmax(1)
    scores = (hidden[torch.arange(len(ids)), last] @ network.score.weight.T)[:, 0]
    chosen, rejected = scores.chunk(2)
    margin: Tensor = batch["margin"].float() if "margin" in batch else torch.zeros_like(chosen)
    return side_of(reward.loss(Scores(chosen, rejected, margin), reward.Options(eta=eta)).mean(), network)
