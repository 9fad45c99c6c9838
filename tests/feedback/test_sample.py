"""Sampling: the same bits from the same seed, the right ends, and agreement with one prompt at a time."""

import pytest
import tokenizers
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pairwright.errors import ConfigError, ModelError
from pairwright.feedback.sample import end_ids, prompt_ids, sample, sample_ids

END = 1
PROMPTS = [[5, 6, 7, 8, 9], [4], [9, 9], [3, 4, 5, 6, 7, 8], [7, 3]]


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        eos_token_id=END,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    words = ["<pad>", "<end>", "<user>", "<bot>", *(chr(ord("a") + i) for i in range(26))]
    core = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<pad>")
    )
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>", pad_token="<pad>")
    made.chat_template = (
        "{% for m in messages %}<user> {{ m.content }} <end> {% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
    )
    return made


def test_same_seed_same_answers_whatever_the_global_state(model: LlamaForCausalLM) -> None:
    torch.manual_seed(1)
    first = sample_ids(model, PROMPTS, end_ids=[END], per_prompt=3, seed=7, max_new_tokens=12)
    after = torch.random.get_rng_state()
    torch.manual_seed(99)
    assert sample_ids(model, PROMPTS, end_ids=[END], per_prompt=3, seed=7, max_new_tokens=12) == first
    assert sample_ids(model, PROMPTS, end_ids=[END], per_prompt=3, seed=8, max_new_tokens=12) != first
    torch.manual_seed(1)
    assert torch.equal(after, torch.random.get_rng_state())
    assert [len(each) for each in first] == [3] * 5


def test_greedy_agrees_with_one_prompt_at_a_time_without_padding(model: LlamaForCausalLM) -> None:
    together = sample_ids(model, PROMPTS, end_ids=[END], temperature=0, max_new_tokens=10, batch_size=2)
    for prompt, [(ids, ended)] in zip(PROMPTS, together):
        expected: list[int] = []
        while len(expected) < 10:
            with torch.no_grad():
                token = int(model(torch.tensor([prompt + expected])).logits[0, -1].argmax())
            if token == END:
                break
            expected.append(token)
        assert ids == expected
        assert ended == (len(expected) < 10)


def test_samples_follow_the_models_probabilities(model: LlamaForCausalLM) -> None:
    with torch.no_grad():
        probabilities = model(torch.tensor([[4]])).logits[0, -1].softmax(-1)
    drawn = sample_ids(model, [[4]] * 100, end_ids=[END], per_prompt=40, max_new_tokens=1, batch_size=1000)
    counts = torch.zeros(32)
    for ids, ended in (each for group in drawn for each in group):
        counts[END if ended else ids[0]] += 1
    # 4,000 draws: three standard errors of a share are at most 0.024
    assert torch.allclose(counts / 4000, probabilities, atol=0.024)


def test_the_models_own_generation_settings_do_not_bend_the_samples(model: LlamaForCausalLM) -> None:
    plain = sample_ids(model, PROMPTS, end_ids=[END], seed=3, max_new_tokens=12)
    own = model.generation_config
    try:
        model.generation_config = GenerationConfig(
            top_k=1, top_p=0.1, min_p=0.5, repetition_penalty=2.0, no_repeat_ngram_size=1, eos_token_id=END
        )
        assert sample_ids(model, PROMPTS, end_ids=[END], seed=3, max_new_tokens=12) == plain
    finally:
        model.generation_config = own


def test_text_messages_and_training_mode(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    assert prompt_ids(tokenizer, [{"role": "user", "content": "a b"}]) == [2, 4, 5, 1, 3]
    assert prompt_ids(tokenizer, "a b") == [4, 5]
    model.train()
    [[answer]] = sample(model, tokenizer, [[{"role": "user", "content": "a b"}]], max_new_tokens=8)
    assert model.training
    model.eval()
    assert answer.text.split() == [tokenizer.convert_ids_to_tokens(i) for i in answer.ids if i > END]
    assert END not in answer.ids


def test_errors(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    assert sample_ids(model, [], end_ids=[END]) == []
    with pytest.raises(ConfigError, match=r"longest prompt has 6 tokens; with max_new_tokens 59 .* 64 positions"):
        sample_ids(model, PROMPTS, end_ids=[END], max_new_tokens=59)
    with pytest.raises(ConfigError, match="per_prompt 2 at temperature 0"):
        sample_ids(model, PROMPTS, end_ids=[END], temperature=0, per_prompt=2)
    with pytest.raises(ConfigError, match="temperature -1"):
        sample_ids(model, PROMPTS, end_ids=[END], temperature=-1)
    endless = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    own = model.generation_config
    try:
        model.generation_config = GenerationConfig()
        with pytest.raises(ModelError, match="end token"):
            end_ids(model, endless)
    finally:
        model.generation_config = own
