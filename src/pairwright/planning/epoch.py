"""Time of an epoch of a plan, by part."""

from dataclasses import dataclass

from pairwright.planning import batch as batches
from pairwright.planning.architectures import Model
from pairwright.planning.cost import Duration, at_rate, forward_flops, sampling, training_flops
from pairwright.planning.memory import Run, cache_bytes
from pairwright.planning.solve import Plan


@dataclass(frozen=True)
class Epoch:
    """Time of a pass over `examples` examples, by part."""

    examples: int
    training: Duration
    reference: Duration
    sampling: Duration

    @property
    def total(self) -> Duration:
        return self.training + self.reference + self.sampling


def epoch(plan_: Plan, examples: int, prompt: int, answer: int) -> Epoch:
    """With examples of the mean sizes `prompt` and `answer`."""
    model, wish, run = plan_.model, plan_.wish, plan_.run
    mean = batches.of(1, prompt, [answer] * wish.answers, blocks=False, shared=model.family.trie)
    rate = lambda flops: at_rate(examples * flops, plan_.gpu, run.width)  # noqa: E731
    # PPO goes over its samples four times, with the policy and with the value role; the others once.
    passes = 8 if run.roles.value else 1
    reference = 0.0 if wish.reference == "none" else forward_flops(model, mean)
    none = Duration(0.0, 0.0)
    drawn = none
    if wish.online:
        steps = examples / wish.per_step
        weights = bytes_read(model, run)
        cache = cache_bytes(model, run.width, run.roles.sequences, prompt + answer)
        drawn = sampling(weights, cache, round(steps * answer), plan_.gpu)
        reference *= 2 + bool(wish.rewards) + run.roles.value  # log-probabilities as sampled, scores, values
    train = passes * training_flops(model, run.tuning, run.checkpointing, mean)
    return Epoch(examples, rate(train), rate(reference), drawn)


def bytes_read(model: Model, run: Run) -> float:
    """Of weights, for one token of every answer. Packed ones are read, written in 16 bits and read again: only batches
    of one have a kernel that multiplies with nf4 as it is (bitsandbytes)."""
    if run.tuning != "qlora":
        return float(model.parameters * run.width)
    return float(model.linear_weights * (0.52 + 2 * run.width) + model.other_weights * run.width)
