"""Sampling for online training: against transformers' own generate, the trainer's log-probabilities and the shares
that the model gives."""

import numpy as np
import pytest
import torch
from tests.backbone.models import make
from tests.tiny import backbone, tokens

from pairwright.backbone.policy import logprobs
from pairwright.errors import ConfigError, ModelError
from pairwright.feedback.generate import generate
from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example

PROMPTS = [[5, 9, 11, 7], [8, 3], [5, 9, 11, 7, 30, 31, 11], [40, 41, 42]]
END = [2]


def sample(model, prompts=PROMPTS, **settings):
    settings = {"end_ids": END, "per_prompt": 3, "temperature": 1.0, "max_new_tokens": 12, "seed": 0} | settings
    return generate(model, prompts, **settings)


def plain_logprobs(model, prompt, answer, temperature=1.0):
    with torch.no_grad():
        logits = model.model(input_ids=torch.tensor([list(prompt) + list(answer)])).logits[0].float() / temperature
    return logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(1, torch.tensor(answer)[:, None])[:, 0].numpy()


@pytest.fixture
def model():
    """Attention as transformers has it, so that the tests can call the model themselves; generate sets it anyway."""
    out = backbone("full")
    out.base.set_attn_implementation(out.plain)
    return out


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_log_probabilities_are_the_models_own_at_the_temperature(model, temperature):
    for prompt, answers in zip(PROMPTS, sample(model, temperature=temperature)):
        assert len(answers) == 3
        for answer in answers:
            expected = plain_logprobs(model, prompt, answer.ids, temperature)
            np.testing.assert_allclose(answer.logprobs, expected, atol=2e-5)


@pytest.mark.parametrize("kind", ["llama", "gemma2", "granite", "gpt2", "mistral", "cohere"])
def test_the_trainer_agrees_with_the_sampler(kind):
    """The trie path at the same temperature: soft-capped and scaled logits, sliding windows, learned positions."""
    model = backbone("full", kind=kind)
    answers = sample(model, temperature=0.7)
    for prompt, each in zip(PROMPTS, answers):
        group = Example(tuple(tokens(prompt, list(a.ids)) for a in each), Source("made", 1))
        built = trie.build([group])
        with torch.no_grad():
            found, unheated = logprobs(model, built, 0.7), logprobs(model, built)
        np.testing.assert_allclose(np.concatenate([a.logprobs for a in each]), found.numpy(), atol=5e-5)
        assert float((found - unheated).abs().max()) > 1e-3  # the temperature matters


def test_greedy_answers_are_those_of_generate(model):
    for prompt, (answer,) in zip(PROMPTS, sample(model, temperature=0.0, per_prompt=1)):
        whole = model.model.generate(
            torch.tensor([prompt]), do_sample=False, max_new_tokens=12, eos_token_id=2, pad_token_id=0
        )
        assert list(answer.ids) == whole[0, len(prompt) :].tolist()


def test_tokens_are_drawn_with_the_models_shares():
    """20,000 first tokens of one prompt against the 61 probabilities, chi-square with 60 degrees of freedom: below
    99.6 in 999 of 1,000 fair draws."""
    model = backbone("full")
    answers = sample(model, [PROMPTS[0]], per_prompt=20_000, max_new_tokens=1, rows=20_000)
    counts = np.bincount([a.ids[0] for a in answers[0]], minlength=61)
    model.base.set_attn_implementation(model.plain)
    with torch.no_grad():
        expected = model.model(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1].softmax(-1).numpy() * 20_000
    assert float(((counts - expected) ** 2 / expected).sum()) < 99.6
    np.testing.assert_allclose(answers[0][0].logprobs[0], np.log(expected[answers[0][0].ids[0]] / 20_000), atol=1e-4)


def test_answers_do_not_depend_on_what_shares_the_batch(model):
    together = sample(model)
    assert together == sample(model)
    for rows in (1, 6):
        assert [[a.ids for a in each] for each in sample(model, rows=rows)] == [[a.ids for a in e] for e in together]
    other = sample(model, seed=1)
    assert [a.ids for a in other[0]] != [a.ids for a in together[0]]
    assert len({a.ids for a in together[0]}) == 3


def test_an_answer_stops_with_its_end_token(model):
    """A quarter of all tokens end an answer."""
    ends = list(range(0, 61, 4))
    answers = [a for each in sample(model, end_ids=ends, per_prompt=8) for a in each]
    for answer in answers:
        assert not set(answer.ids[:-1]) & set(ends)
        assert answer.ended == (answer.ids[-1] in ends)
        assert answer.ended or len(answer.ids) == 12
        assert len(answer.ids) == len(answer.logprobs) >= 1
    assert {a.ended for a in answers} == {True, False}
    for prompt, each in zip(PROMPTS, sample(model, end_ids=ends, per_prompt=8)):
        for answer in each:  # also after ended rows have left the cache
            np.testing.assert_allclose(answer.logprobs, plain_logprobs(model, prompt, answer.ids), atol=2e-5)


def test_the_prompt_is_computed_once(model):
    """Tokens that enter the embedding: 16 of the prompts with 12 of padding, and 11 for each of 12 answers."""
    entered = 0

    def count(_module, inputs):
        nonlocal entered
        entered += inputs[0].numel()

    with model.base.get_input_embeddings().register_forward_pre_hook(count):
        sample(model, end_ids=[])
    assert entered == 4 * 7 + 11 * 12


def test_what_cannot_be_sampled_is_refused(model):
    with pytest.raises(ConfigError, match=r"longest prompt has 7 tokens; with 122 new ones .* 128 positions"):
        sample(model, max_new_tokens=122)
    with pytest.raises(ConfigError, match="without any token"):
        sample(model, [[]])
    stateful = backbone("full")
    stateful.model = make("mamba")
    with pytest.raises(ModelError, match="mamba carries state"):
        sample(stateful)
