"""The watch for spikes: by hand, in a run, after a resume, and silent where nothing is wrong."""

import dataclasses

import pytest
import torch
from tests.tiny import backbone, examples
from tests.training.test_offline import settings

from pairwright.errors import SpikeError
from pairwright.objectives import dpo
from pairwright.tokens.batches import step_indices
from pairwright.training import offline
from pairwright.training.forwards import Objective
from pairwright.training.spikes import LEAST, WINDOW, Watch


def watching(name: str, values: list[float], limit: float = 50.0) -> Watch:
    watch = Watch(limit)
    for value in values:
        watch.add({name: value})
    return watch


def test_distance_by_hand():
    """Ten times 2 and ten times 4: mean 3, standard deviation 1. 53.5 lies 50.5 of them away, 52.5 only 49.5."""
    watch = watching("loss", [2.0, 4.0] * 10)
    assert watch.spike({"loss": 52.5}) is None
    spike = watch.spike({"loss": 53.5})
    assert spike == ("loss", 53.5, 3.0, 1.0, 50.5)
    assert watching("loss", [2.0, 4.0] * 10, limit=0).spike({"loss": 1e9}) is None


@pytest.mark.parametrize(
    ("before", "silent", "loud"),
    [
        (0.0, 4.9, 5.1),  # no spread: the floor of 0.1, 50 times
        (200.0, 1190.0, 1210.0),  # a tenth of the mean is 20, 50 times 1,000
    ],
)
def test_floors(before, silent, loud):
    watch = watching("grad_norm", [before] * LEAST)
    assert watch.spike({"grad_norm": silent}) is None
    assert watch.spike({"grad_norm": loud})


def test_nothing_is_compared_with_few_steps_or_old_ones():
    assert watching("loss", [0.0] * (LEAST - 1)).spike({"loss": 1e6}) is None
    old_and_new = watching("loss", [1e6] * 10 + [0.0] * WINDOW)
    assert old_and_new.spike({"loss": 1e4})
    assert len(old_and_new.seen["loss"]) == WINDOW


def test_falls_count_for_rewards_too():
    assert watching("rewards/chosen", [0.0] * LEAST).spike({"rewards/chosen": -6.0})


def explained(watch: Watch, metrics: dict[str, float], losses: list[float]) -> str:
    spike = watch.spike(metrics)
    assert spike
    return watch.explain(spike, 21, metrics, [torch.tensor(losses)], [examples(len(losses))])


def test_the_cause_is_named():
    calm = {"loss": 0.7, "grad_norm": 1.0, "rewards/chosen": 0.0, "logps/chosen": -40.0}
    watch = Watch(50.0)
    for _ in range(LEAST):
        watch.add(calm)
    said = explained(watch, calm | {"loss": 20.0}, [0.5, 59.0, 0.5])
    assert "loss is 20 in step 21, 193 standard deviations from the 20 steps before it (0.7," in said
    assert (
        "Most of the loss is that of made.jsonl:2 (59)." in said and "made.jsonl:1, made.jsonl:2, made.jsonl:3" in said
    )
    assert "The loss did not jump" in explained(watch, calm | {"grad_norm": 90.0}, [0.7, 0.7])
    assert "those of the reference did" in explained(watch, calm | {"rewards/chosen": 30.0}, [0.7, 0.7])
    both = calm | {"rewards/chosen": -30.0, "logps/chosen": -3000.0}
    assert "many examples of the step" in explained(watch, both, [0.7, 0.7])


def trained(folder, line: int, **more) -> int:
    """Thirty steps of one pair each; in that of row `line` the reference is off by 1,000 nats. Returns the last step
    that was logged, after looking whether the weights are still what they were then."""
    model, logged = backbone("full"), {}
    checkpoint = more.pop("checkpoint", None)

    def reference(batch, built):
        off = [1000.0 * (e.source.line == line and side == 0) for e in batch for side in range(2)]
        return torch.tensor([-4.0 * int(s.supervised.sum()) for e in batch for s in e.sequences]) + torch.tensor(off)

    def note(step, entry):
        logged.update({name: p.detach().clone() for name, p in model.trainable().items()}, step=step)

    standard = settings(steps=30, per_step=1, eval_every=100, save_every=22, learning_rate=1e-4, seed=0)
    changed = dataclasses.replace(standard, **more)
    method, listen = Objective(dpo, dpo.Options(beta=0.5)), offline.Callbacks(note)
    try:
        offline.run(
            model, method, examples(30), [], reference, changed, folder, {}, checkpoint=checkpoint, callbacks=listen
        )
    finally:
        assert all(torch.equal(logged[name], p) for name, p in model.trainable().items())
    return logged["step"]


def test_a_run_stops_before_it_changes_anything_and_again_after_a_resume(tmp_path):
    line = int(step_indices(25, 30, 1, 0)[0]) + 1  # of step 26, as people count
    with pytest.raises(SpikeError, match=rf"in step 26, .* reference did.*made.jsonl:{line}"):
        trained(tmp_path, line)
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    assert checkpoint.name == "step-000022"
    with pytest.raises(SpikeError, match="in step 26"):
        trained(tmp_path, line, checkpoint=checkpoint)
    assert trained(tmp_path, line, checkpoint=checkpoint, spike_limit=0.0) == 30
