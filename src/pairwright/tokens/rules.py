"""The named rules by which records are cut, changed or dropped on the way to tokens.

Every count of `Encoded.counts` has its name and its meaning here; docs/tokens.md has an example of each.
"""

RULES = {
    "prompt_cut": "the oldest part of the prompt was cut, the same on both sides",
    "turns_cut": "the last turns of a long demonstration were left off, whole turns only",
    "text_cut": "a text without a prompt was cut at max_length",
    "border_moved": "prompt and answer share a token, which counts as part of the answer",
    "turn_rewritten": "the template rewrites an earlier answer, which is not trained on",
    "bos_added": "the BOS that the tokenizer puts in front was added",
    "eos_appended": "EOS was appended to an answer that had no end token",
    "double_eos_removed": "an answer's text ended with an end token of its own, which was removed",
    "first_token_unscored": "the first token has nothing before it and is not trained on",
    "special_token_text": "the text contains the name of a special token, which becomes that token",
    "dropped_answer_too_long": "an answer does not fit into max_length",
    "dropped_prompt_too_long": "the last turn of the prompt alone fills max_length",
    "dropped_empty_answer": "an answer has no tokens of its own",
    "dropped_no_answer": "there is no assistant turn to train on",
    "dropped_identical_tokens": "two of the answers are the same tokens",
    "dropped_rewritten_turn": "the template rewrites an earlier answer of a preference",
    "dropped_template_prefix": "the generation prompt is not the beginning of the conversation",
    "dropped_template_refused": "the template refuses the messages",
}
"""Name of each count -> what it means. Counts are numbers of records; dropped_... ones make no example."""


class Unusable(Exception):
    """A record that becomes no example. Caught by encode, which counts it under `rule`."""

    def __init__(self, rule: str, detail: str = "") -> None:
        super().__init__(rule, detail)
        self.rule = rule
        self.detail = detail
