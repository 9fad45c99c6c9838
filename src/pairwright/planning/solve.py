"""From what a user wants to a plan: does it fit, what is the largest batch, what are the nearest settings that do."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from pairwright.planning import batch as batches
from pairwright.planning.architectures import Model
from pairwright.planning.batch import Batch
from pairwright.planning.choose import GPU_TOKENS, most
from pairwright.planning.hardware import GPUS, Gpu
from pairwright.planning.memory import Memory, Reference, Roles, Run, attention_on, memory, room
from pairwright.planning.weights import Adapters, Tuning

ONLINE = {"ppo": True, "rloo": False, "grpo": False}
"""Methods that sample; whether they have a value role."""
SINGLE = frozenset({"sft", "kto"})
"""Methods whose examples are one answer each; those that do not sample take pairs otherwise."""
WITHOUT_REFERENCE = frozenset({"sft", "orpo", "simpo", "reward"})


@dataclass(frozen=True)
class Wish:
    """What the user asks for."""

    method: str
    tuning: Tuning
    prompt: int
    """Tokens of the longest prompt."""
    answer: int
    """Tokens of the longest answer."""
    answers: int
    """Answers of an example that are computed together: 2 for pairs, 1 for demonstrations, K for rankings, samples."""
    reference: Reference = "cache"
    examples: int = 1
    """In a micro-batch."""
    per_step: int = 8
    checkpointing: bool | None = None
    """None: only where it is needed."""
    adapters: Adapters = field(default_factory=Adapters)
    width: int | None = None
    """Bytes of a weight; None for what the device computes in."""
    rewards: int = 0
    sample_rows: int = 32
    """Answers generated at the same time, for methods that sample."""

    @property
    def online(self) -> bool:
        return self.method in ONLINE


@dataclass(frozen=True)
class Plan:
    model: Model
    gpu: Gpu
    wish: Wish
    run: Run
    batch: Batch
    memory: Memory

    @property
    def total(self) -> int:
        """With the CUDA context."""
        return self.memory.total + self.context

    @property
    def context(self) -> int:
        return 0 if self.gpu.name == "cpu" else self.gpu.context

    @property
    def fits(self) -> bool:
        return self.memory.total <= room(self.gpu)


def plan(model: Model, gpu: Gpu, wish: Wish) -> Plan:
    """The plan of `wish`; gradient checkpointing, where it is left open, only if it does not fit without."""
    if wish.checkpointing is None:
        plain = plan(model, gpu, replace(wish, checkpointing=False))
        return plain if plain.fits else plan(model, gpu, replace(wish, checkpointing=True))
    width = wish.width or width_on(gpu, wish.tuning)
    roles = Roles()
    if wish.online:
        sequences = min(wish.sample_rows, wish.per_step * wish.answers)
        roles = Roles(ONLINE[wish.method], wish.rewards, sequences, wish.prompt + wish.answer)
    attention = attention_on(gpu, model, width)
    run = Run(wish.tuning, width, wish.checkpointing, attention, wish.adapters, wish.reference, roles=roles)
    found = batches.of(
        wish.examples,
        wish.prompt,
        [wish.answer] * wish.answers,
        blocks=attention != "varlen",
        shared=model.family.trie,
    )
    return Plan(model, gpu, wish, run, found, memory(model, run, found))


def width_on(gpu: Gpu, tuning: Tuning) -> int:
    """Bytes of a weight, as backbone/load.py chooses: 16 bits on GPUs, but not to train every weight where bfloat16 is
    missing; float32 on a CPU."""
    if gpu.name == "cpu" or (tuning == "full" and not gpu.bf16):
        return 4
    return 2


def largest_batch(plan_: Plan) -> int:
    """Examples of that size that fit in one forward pass, 0 where not even one does; no more than a step has, and no
    more tokens than a batch gains from."""
    each = max(1, plan_.batch.tokens // plan_.wish.examples)
    limit = max(1, min(plan_.wish.per_step, GPU_TOKENS // each))
    wish = replace(plan_.wish, checkpointing=plan_.run.checkpointing)
    fits = lambda n: plan(plan_.model, plan_.gpu, replace(wish, examples=n)).fits  # noqa: E731
    return most(fits, 1, limit) if fits(1) else 0


def nearest(plan_: Plan, limit: int = 4) -> list[tuple[str, Plan]]:
    """Changes after which it fits, the smallest first. Empty where it fits as it is."""
    if plan_.fits:
        return []
    found = [(words, plan(plan_.model, gpu, wish)) for words, wish, gpu in _changes(plan_)]
    return [(words, other) for words, other in found if other.fits][:limit]


def _changes(plan_: Plan) -> Iterator[tuple[str, Wish, Gpu]]:
    wish, gpu = plan_.wish, plan_.gpu
    if wish.checkpointing is False:
        wish = replace(wish, checkpointing=True)
        yield "--gradient-checkpointing on", wish, gpu
    if wish.examples > 1:
        wish = replace(wish, examples=1)
        yield "one example a batch", wish, gpu
    if wish.reference == "live":
        wish = replace(wish, reference="cache")
        yield "--reference cache", wish, gpu
    shorter = _shorter(plan_.model, gpu, wish)
    if shorter:
        yield f"--max-length {shorter.prompt + shorter.answer}", shorter, gpu
    for tuning in ("lora", "qlora"):
        if wish.tuning not in (tuning, "qlora"):
            wish = replace(wish, tuning=tuning)
            yield f"--tuning {tuning}", wish, gpu
            shorter = _shorter(plan_.model, gpu, wish)
            if shorter and not plan(plan_.model, gpu, wish).fits:
                yield f"--tuning {tuning} --max-length {shorter.prompt + shorter.answer}", shorter, gpu
    larger = sorted((g for g in GPUS if g.memory > gpu.memory), key=lambda g: g.memory)
    enough = next((g for g in larger if plan(plan_.model, g, plan_.wish).fits), None)
    if enough:
        yield f"--gpu {enough.name}", plan_.wish, enough


def _shorter(model: Model, gpu: Gpu, wish: Wish) -> Wish | None:
    """The longest sequences, a multiple of 64 and a quarter of the wish at least, that fit."""
    whole = wish.prompt + wish.answer

    def cut(sixty_fours: int) -> Wish:
        answer = max(2, round(64 * sixty_fours * wish.answer / whole))
        return replace(wish, prompt=64 * sixty_fours - answer, answer=answer)

    low, high = max(1, whole // 4 // 64), (whole - 1) // 64
    if high < low or not plan(model, gpu, cut(low)).fits:
        return None
    return cut(most(lambda n: plan(model, gpu, cut(n)).fits, low, high))
