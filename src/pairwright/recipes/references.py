"""Before the first step: reference log-probabilities, and the fast path compared with the plain one."""

from pairwright.backbone import heads
from pairwright.backbone.policy import compare_paths
from pairwright.backbone.reference import Cache, default_path, reference_sums
from pairwright.backbone.reference_live import cached_references, live_references
from pairwright.recipes.display import counter
from pairwright.recipes.run import Run
from pairwright.tokens import trie
from pairwright.tokens.batches import micro_batches, steps_per_epoch
from pairwright.training.forwards import References, passes
from pairwright.training.offline import World

CHECKED = 8
"""Examples of the first step that are computed on both paths; the plain one takes a sequence at a time."""


def make_references(run: Run) -> References | None:
    """The reference's log-probabilities, as the run's settings want them; None where the objective has none."""
    if not run.objective.module.REFERENCE:
        return None
    if run.config.reference == "live":
        run.display.say("reference: computed in every step")
        return live_references(run.backbone)
    settings, processes = run.settings, run.world.size
    # Later epochs see the same examples again.
    first = range(min(settings.steps, steps_per_epoch(len(run.data.train), settings.per_step)))
    groups = [*map(run.examples_of, first), run.data.held_out]
    worlds = [World(rank, processes) for rank in range(processes)]
    parts = [part for group in groups for world in worlds for part in passes(run.objective, world.share(group))]
    batches = [batch for part in parts for batch in micro_batches(part, settings.tokens_per_batch)]
    total = sum(map(len, batches))
    cache = Cache(default_path())
    try:
        with run.accelerator.main_process_first(), run.display.progress("reference", total) as advance:
            known, computed = reference_sums(run.backbone, batches, settings.tokens_per_batch, cache, counter(advance))
    finally:
        cache.close()
    run.display.say(f"reference: {computed:,} examples computed, {total - computed:,} found in {cache.path}")
    return cached_references(run.backbone, known)


def compare_first_batch(run: Run) -> None:
    """Compare the fast path with the plain one on what the first step computes first, and say the difference.

    Raises ParityError and NonFiniteError as compare_paths does.
    """
    share = run.world.share(run.examples_of(0)) or run.examples_of(0)
    scored = run.objective.scored
    examples = micro_batches(share, run.settings.tokens_per_batch, with_last=scored)[0][:CHECKED]
    built = trie.build(examples, with_last=scored)
    if scored:
        mean, largest = heads.compare_scores(run.backbone, built, heads.head_named(run.backbone))
    else:
        mean, largest = compare_paths(run.backbone, built)
    run.display.say(
        f"check: the fast path differs from the plain model by {mean:.1e} {'an answer' if scored else 'a token'} "
        f"(largest {largest:.1e}) on {len(examples)} examples of the first step"
    )
