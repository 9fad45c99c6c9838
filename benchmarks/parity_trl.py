"""Are the losses TRL's? Loss and gradient of each on one batch, by TRL's own trainers and by Pairwright's objectives.

    make parity                                             # in .bench, writes benchmarks/results/parity_trl.json

Both sides have the same tiny random model and reference in float32, and the same token ids, which TRL's trainer made.
On its side the trainer's own loss function runs, fused LM head and all; on ours a plain forward pass, sums of
log-probabilities and pairwright.objectives. The gradient is compared over all weights. Where the two differ on
purpose, the difference is measured and explained, not hidden: see DIFFERENCES.

KTO's cases are in parity_kto.py, the reward model's in parity_reward.py. Left out: TRL's losses that Pairwright does
not have.
"""

import argparse
import datetime
import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import torch
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

import parity_kto
import parity_reward
from machine import describe
from pairwright.objectives import dpo, hinge, ipo, kto, orpo, reward, robust, rpo, simpo
from pairwright.objectives.inputs import Pairs

LIMIT = 1e-5
"""Largest difference of a loss, as a share of it or of 1, and of a gradient, as a share of its largest component."""
PAIRS = 8
WORDS = [f"w{number}" for number in range(60)]
OUT = Path(__file__).parent / "results" / "parity_trl.json"

DIFFERENCES = [
    "TRL's `sft` term is a mean over all chosen tokens of a micro-batch, Pairwright's added likelihood (--nll-weight, "
    "rpo iterative) a mean over each pair's own, so that it does not depend on how a step is cut. Equal where the "
    "chosen answers have one length.",
    "TRL's ORPO counts the prompt's tokens in the likelihood, and takes the mean over a micro-batch; Pairwright the "
    "chosen answer's, over each pair. The odds ratio is the same.",
    "TRL logs weight * mean log-probability as ORPO's reward, Pairwright the log odds that the loss compares.",
    "Exponentials of the f-divergences: TRL's forward KL overflows where an answer's log-ratio is below -88, its alpha "
    "divergence is constant from an exponent of 80 on; Pairwright's go on as a straight line from 30 on.",
    "Pairwright has the f-divergences for dpo, with sums only, and alpha from 0 to 1 only; TRL has them for hinge, "
    "ipo, robust and sigmoid_norm too, and takes any alpha.",
    "TRL's `sigmoid` does not read label_smoothing; Pairwright's dpo does (conservative DPO), and takes soft labels.",
    "A reward margin of exactly 0 counts as half right in rewards/accuracies, in TRL as wrong.",
    *parity_kto.DIFFERENCES,
    *parity_reward.DIFFERENCES,
]


@dataclass(frozen=True)
class Case:
    name: str
    module: ModuleType
    options: dict
    trl: dict
    """Fields of the trainer's config."""
    trainer: str = "dpo"
    rows: str = "ragged"
    """Which batch: `ragged`, or `even` with chosen answers of one length and prompts of one token."""
    expected: bool = True
    """Whether the two are to agree; False for a deliberate difference that is measured."""


CASES = [
    Case("sigmoid", dpo, {"beta": 0.3}, {"loss_type": ["sigmoid"], "beta": 0.3}),
    Case("sigmoid_norm", dpo, {"beta": 5.0, "length_normalised": True}, {"loss_type": ["sigmoid_norm"], "beta": 5.0}),
    Case("hinge", hinge, {"beta": 0.3}, {"loss_type": ["hinge"], "beta": 0.3}),
    Case("ipo", ipo, {"tau": 0.1}, {"loss_type": ["ipo"], "beta": 0.1}),
    Case(
        "robust",
        robust,
        {"beta": 0.3, "flip_rate": 0.2},
        {"loss_type": ["robust"], "beta": 0.3, "label_smoothing": 0.2},
    ),
    *(
        Case(
            f"sigmoid, {theirs}",
            dpo,
            {"beta": 0.3, "f_divergence": ours, "alpha_divergence": 0.3},
            {
                "loss_type": ["sigmoid"],
                "beta": 0.3,
                "f_divergence_type": theirs,
                "f_alpha_divergence_coef": 0.3,
            },
        )
        for ours, theirs in (
            ("reverse_kl", "reverse_kl"),
            ("forward_kl", "forward_kl"),
            ("js", "js_divergence"),
            ("alpha", "alpha_divergence"),
        )
    ),
    *(
        Case(
            f"sigmoid + 0.5 sft, {rows}",
            rpo,
            {"variant": "iterative", "beta": 0.3, "eta": 0.5},
            {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5], "beta": 0.3},
            rows=rows,
            expected=rows == "even",
        )
        for rows in ("even", "ragged")
    ),
    *(
        Case(f"orpo, {rows}", orpo, {"weight": 0.3}, {"beta": 0.3}, "orpo", rows, expected=rows == "even")
        for rows in ("even", "ragged")
    ),
    Case(
        "simpo",
        simpo,
        {"beta": 2.0, "gamma_beta_ratio": 0.4},
        {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 0.8, "cpo_alpha": 0.0},
        "cpo",
    ),
]


@dataclass
class Side:
    """What one side made of a batch."""

    loss: float
    gradient: dict[str, Tensor] = field(repr=False)


def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<eos>", "<unk>", *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")


def model(seed: int) -> LlamaForCausalLM:
    """Weights wide enough that answers differ by some nats between two seeds."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS) + 3,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
        initializer_range=0.1,
    )
    return LlamaForCausalLM(config).float()


def rows(kind: str) -> Dataset:
    chance = random.Random(0)

    def text(low: int, high: int) -> str:
        return " ".join(chance.choices(WORDS, k=chance.randint(low, high)))

    prompt, chosen = ((3, 12), (2, 9)) if kind == "ragged" else ((1, 1), (6, 6))
    return Dataset.from_list(
        [{"prompt": text(*prompt), "chosen": " " + text(*chosen), "rejected": " " + text(2, 9)} for _ in range(PAIRS)]
    )


def trainer_of(case: Case, folder: str):
    """TRL's trainer with model 0, and model 1 as its reference where it takes one."""
    common = {"output_dir": folder, "use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True}
    common |= {"gradient_checkpointing": False, "per_device_train_batch_size": PAIRS, "max_length": 64}
    shared = {"train_dataset": rows(case.rows), "processing_class": tokenizer()}
    if case.trainer == "dpo":
        return DPOTrainer(model(0), model(1), args=DPOConfig(**common, **case.trl), **shared)
    if case.trainer == "orpo":
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        return ORPOTrainer(model(0), args=ORPOConfig(**common, **case.trl), **shared)
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    return CPOTrainer(model(0), args=CPOConfig(**common, **case.trl), **shared)


def batch_of(trainer) -> dict[str, Tensor]:
    return trainer.data_collator([trainer.train_dataset[number] for number in range(PAIRS)])


def theirs(trainer, batch: dict) -> Side:
    return side_of(trainer.compute_loss(trainer.model, batch), trainer.model)


def side_of(loss: Tensor, network: torch.nn.Module) -> Side:
    loss.backward()
    return Side(loss.item(), {name: p.grad.clone() for name, p in network.named_parameters()})


def sides(batch: dict) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(ids, attention mask, answer mask), (N, T) each, of the chosen and of the rejected answers."""
    if "completion_mask" in batch:
        for half in range(2):
            yield tuple(batch[key].chunk(2)[half] for key in ("input_ids", "attention_mask", "completion_mask"))
    else:
        for side in ("chosen", "rejected"):
            labels = batch[f"{side}_labels"] != -100
            yield batch[f"{side}_input_ids"], batch[f"{side}_attention_mask"], labels


def sums(network: LlamaForCausalLM, ids: Tensor, attention: Tensor, answer: Tensor) -> Tensor:
    """(N,) log-probability of each row's answer, written out plainly."""
    logits = network(input_ids=ids, attention_mask=attention).logits[:, :-1]
    picked = logits.log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)
    return (picked * answer[:, 1:]).sum(1)


def ours(case: Case, batch: dict) -> Side:
    policy, reference = model(0), model(1)
    both = list(sides(batch))
    values = [sums(policy, *side) for side in both]
    tokens = [answer[:, 1:].sum(1) for _, _, answer in both]
    if case.module.REFERENCE:
        with torch.no_grad():
            references = [sums(reference, *side) for side in both]
    else:
        references = [None, None]
    pairs = Pairs(*values, *tokens, *references)
    return side_of(case.module.loss(pairs, case.module.Options(**case.options)).mean(), policy)


def compare(case: Case, trl: Side, own: Side) -> dict:
    largest = max(gradient.abs().max() for gradient in trl.gradient.values())
    apart = max((trl.gradient[name] - own.gradient[name]).abs().max() for name in trl.gradient)
    found = {
        "name": case.name,
        "objective": case.module.__name__.rpartition(".")[2],
        "options": case.options,
        "trl_trainer": case.trainer,
        "trl_options": case.trl,
        "batch": case.rows,
        "loss_trl": trl.loss,
        "loss_pairwright": own.loss,
        "loss_difference": abs(trl.loss - own.loss) / max(1.0, abs(trl.loss)),
        "gradient_difference": float(apart / largest),
    }
    agrees = max(found["loss_difference"], found["gradient_difference"]) <= LIMIT
    return found | {"agrees": agrees, "expected_to_agree": case.expected}


def odds_ratio(case: Case, trainer, batch: dict) -> dict:
    """ORPO's second term alone, by TRL's odds_ratio_loss and by ours, where the likelihoods differ on purpose."""

    def second_term(of: Callable[[Pairs, tuple[Tensor, Tensor]], Tensor]) -> Side:
        network = model(0)
        both = list(sides(batch))
        values, tokens = [sums(network, *side) for side in both], [answer[:, 1:].sum(1) for _, _, answer in both]
        pairs = Pairs(*values, *tokens)
        return side_of(of(pairs, pairs.per_token(*values)).mean(), network)

    trl = second_term(lambda pairs, means: -trainer.odds_ratio_loss(*means)[0])
    own = second_term(lambda pairs, means: orpo.loss(pairs, orpo.Options(**case.options)) + means[0])
    return compare(replace(case, name="orpo, odds ratio alone, ragged", expected=True), trl, own)


def run(say: Callable[[str], None]) -> list[dict]:
    found = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            trainer = trainer_of(case, folder)
            batch = batch_of(trainer)
            found.append(compare(case, theirs(trainer, batch), ours(case, batch)))
            if case.trainer == "orpo" and case.rows == "ragged":
                found.append(odds_ratio(case, trainer, batch))
    found += parity_kto.cases(
        model,
        tokenizer,
        WORDS,
        sums,
        side_of,
        lambda *case: compare(Case(case[0], kto, case[1], case[1], "kto"), *case[2:]),
    )
    found += parity_reward.cases(
        model,
        tokenizer,
        rows,
        side_of,
        lambda name, options, trl, *sides: compare(Case(name, reward, options, trl, "reward"), *sides),
    )
    for entry in found:
        verdict = "agrees" if entry["agrees"] else "differs" if entry["expected_to_agree"] else "differs on purpose"
        loss, gradient = entry["loss_difference"], entry["gradient_difference"]
        say(f"{entry['name']:34} loss {loss:.1e}  gradient {gradient:.1e}  {verdict}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    disable_progress_bars()
    found = run(print)
    wrong = [entry["name"] for entry in found if entry["agrees"] != entry["expected_to_agree"]]
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": describe(),
        "versions": {name: version(name) for name in ("trl", "torch", "transformers")},
        "precision": "float32",
        "pairs": PAIRS,
        "limit": LIMIT,
        "cases": found,
        "deliberate_differences": DIFFERENCES,
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {args.out}")
    if wrong:
        raise SystemExit(f"not as expected: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
