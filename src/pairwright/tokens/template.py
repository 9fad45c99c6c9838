"""The chat template: how messages become text, and how the text shows where an answer ends.

The template is the tokenizer's own, a Jinja file, or the plain text form of HH-RLHF. It is rendered as transformers
renders it, in the same sandbox, so that training sees the text that generation will see.

Left out: tokens (chat.py) and where the answers are (turns.py).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from transformers.utils.chat_template_utils import render_jinja_template

from pairwright.errors import ConfigError
from pairwright.records import Record
from pairwright.tokens.rules import Unusable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN = (
    "{% if tools %}{{ raise_exception('the plain text form has no tools') }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['tool_calls'] %}{{ raise_exception('the plain text form has no tool calls') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '\\n\\nHuman: ' + message['content'] }}"
    "{% elif message['role'] == 'assistant' %}{{ '\\n\\nAssistant: ' + message['content'] }}"
    "{% elif message['role'] == 'system' and loop.first %}{{ message['content'] }}"
    "{% else %}{{ raise_exception('the plain text form has no place for the role ' + message['role']) }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n\\nAssistant:' }}{% endif %}"
)
"""The plain text form, as HH-RLHF writes it. A system message stands first, without a label.

Generation starts after "Assistant:", before the space: most vocabularies have the space in the answer's first token.
"""

_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PROBE = "pairwright-probe"


@dataclass(frozen=True, slots=True)
class Template:
    """A chat template, ready to render."""

    text: str
    with_tools: str
    """Used for records that bring tools; the same as `text` unless the tokenizer names one for them."""
    variables: Mapping[str, str]
    """bos_token, eos_token ... as templates write them."""
    description: str
    """For the log: which template this is, and why."""
    end: str | None = None
    """The token that the template writes after an answer, such as <|im_end|>; None where it writes none."""

    def render(
        self, messages: Sequence[Mapping[str, Any]], record: Record | None = None, *, generation: bool = False
    ) -> tuple[str, list[tuple[int, int]] | None]:
        """The text, and the (start, stop) characters inside {% generation %}, or None for a template without it.

        `generation` adds the generation prompt. Raises Unusable where the template refuses the messages.
        """
        tools: list[Any] | None = [dict(tool) for tool in record.tools] if record and record.tools else None
        text = self.with_tools if tools else self.text
        marked = _MARKED.search(text) is not None
        try:
            rendered: Any = render_jinja_template(  # declared as str, is a pair of lists
                [[dict(message) for message in messages]],
                tools=tools,
                chat_template=text,
                return_assistant_tokens_mask=marked,
                add_generation_prompt=generation,
                **{**self.variables, **(record.template_kwargs if record else {})},
            )
        except jinja2.TemplateSyntaxError:
            raise  # the template's fault, not the record's: load reports it
        except (jinja2.TemplateError, TypeError) as error:
            raise Unusable("dropped_template_refused", str(error)) from error
        texts, marks = rendered
        return texts[0], marks[0] if marked else None


def load(tokenizer: "PreTrainedTokenizerBase", chat_template: str | None, added: re.Pattern[str]) -> Template:
    """The template that `chat_template` means: None, `text`, a name the tokenizer knows, a Jinja file's path, or Jinja.

    `added` matches the tokens that stand for themselves in text; the template's end of turn is one of them.
    Raises ConfigError where the path leads nowhere or the Jinja is broken.
    """
    text, with_tools, description = _source(tokenizer, chat_template)
    template = Template(text, with_tools, tokenizer.special_tokens_map, description)
    try:
        return replace(template, end=_end(template, added))
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"The chat template is not valid Jinja, line {error.lineno}: {error.message}") from error


def _source(tokenizer: "PreTrainedTokenizerBase", chat_template: str | None) -> tuple[str, str, str]:
    named = tokenizer.chat_template if isinstance(tokenizer.chat_template, dict) else {}
    if chat_template in named:
        text = named[chat_template]
        return text, text, f"Chat template: the tokenizer's `{chat_template}`."
    if named and chat_template is None and "default" not in named:
        names = ", ".join(f"`{name}`" for name in named)
        raise ConfigError(f"The tokenizer has several chat templates and no default: --chat-template {names}?")
    if chat_template is None and tokenizer.chat_template:
        with_tools = tokenizer.get_chat_template(tools=[{}])  # any tools: it only asks whether there are some
        return tokenizer.get_chat_template(), with_tools, "Chat template: the tokenizer's."
    if chat_template is None:
        why = "the tokenizer has no chat template"
        return PLAIN, PLAIN, f'Chat template: the plain "Human: / Assistant:" text form, because {why}.'
    if chat_template == "text":
        return PLAIN, PLAIN, 'Chat template: the plain "Human: / Assistant:" text form, as asked.'
    if "{{" in chat_template or "{%" in chat_template:
        return chat_template, chat_template, "Chat template: the given Jinja text."
    try:
        text = Path(chat_template).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--chat-template {chat_template}: cannot be read ({error}). Give a Jinja file, or `text`."
        ) from error
    return text, text, f"Chat template: {chat_template}."


def _end(template: Template, added: re.Pattern[str]) -> str | None:
    """The first token of its own after an answer, found by rendering one.

    Trying shows it for every template: ChatML writes "<|im_end|>\\n", Llama 2 " </s>", Phi-3 "<|end|>\\n" and, only
    at the end of the conversation, "<|endoftext|>".
    """
    try:
        text, _ = template.render([{"role": "user", "content": "x"}, {"role": "assistant", "content": _PROBE}])
    except Unusable:
        return None  # then each turn is looked at by itself
    _, found, after = text.rpartition(_PROBE)
    first = added.search(after) if found else None
    return first.group() if first else None
