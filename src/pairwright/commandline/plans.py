"""How a memory plan looks in the terminal: a bar and a table in 80 columns."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from pairwright.planning.cost import Duration
from pairwright.planning.memory import room
from pairwright.planning.solve import Plan
from pairwright.recipes.plan import PlanResult

WIDTH = 76
COLOURS = ("blue", "cyan", "green", "magenta", "yellow", "red", "white", "bright_blue", "bright_green", "bright_red")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def show(results: Sequence[PlanResult], *, explain: bool) -> list[Any]:
    """What to print, in order."""
    if len(results) > 1:
        return [_head(results[0].plan, card=False), _cards(results)]
    result = results[0]
    plan = result.plan
    shown: list[Any] = [_head(plan, card=True), _verdict(plan), *_bar(plan), _parts(plan, explain)]
    return [*shown, *_more(result)]


def gib(size: float) -> str:
    return f"{size / 2**30:.2f}"


def _head(plan: Plan, *, card: bool) -> str:
    model, wish, run = plan.model, plan.wish, plan.run
    kept = "4-bit nf4" if run.tuning == "qlora" else {4: "float32", 2: "16-bit"}[run.width]
    where = f"; {plan.gpu.title}" if card else ""
    many = {1: "one answer", 2: "two answers"}.get(wish.answers, f"{wish.answers} answers")
    lines = [
        f"{wish.method}, {run.tuning} ({kept}), {model.name}, {model.parameters / 1e9:.2f} billion weights{where}",
        f"a batch of {wish.examples}: prompt of {wish.prompt:,} tokens, {many} of {wish.answer:,}: "
        f"{plan.batch.tokens:,} tokens as a trie",
        f"  ({plan.batch.plain_tokens:,} in padded rows)",
    ]
    if not model.whole:
        lines.append(f"{model.kind} is not written out here: activations are an upper estimate")
    return "\n".join(lines)


def _verdict(plan: Plan) -> Text:
    ends = "checkpointing " + ("on" if plan.run.checkpointing else "off")
    numbers = f"{gib(plan.total)} GiB of {plan.gpu.memory:.2f}, most in {plan.memory.moment}; {ends}"
    style, word = ("bold green", "fits") if plan.fits else ("bold red", "does not fit")
    return Text.assemble((word, style), f": {numbers}")


def _bar(plan: Plan) -> list[Any]:
    """Each part by its share of the card; a letter a part, so that it is read without colours too."""
    whole = max(plan.gpu.total, plan.total)
    bar, at = Text("["), 0.0
    for number, (_, size, _) in enumerate(_rows(plan)):
        start, at = round(at), at + size / whole * WIDTH
        bar.append(LETTERS[number] * (round(at) - start), COLOURS[number % len(COLOURS)])
    bar.append("." * (WIDTH - round(at)) + "]")
    if plan.total <= plan.gpu.total:
        return [bar]
    end = round(plan.gpu.total / whole * WIDTH)
    words = "the card ends here "
    return [bar, " " * end + "^ " + words.strip() if end < WIDTH // 2 else (words + "^").rjust(end + 1)]


def _rows(plan: Plan) -> list[tuple[str, int, str]]:
    rows = [(part.name, part.bytes, part.how) for part in plan.memory.parts]
    context = "not measured here; 0.4 to 0.6 GiB are reported"
    return [*rows, ("CUDA context", plan.context, context)] if plan.context else rows


def _parts(plan: Plan, explain: bool) -> Table:
    table = Table(box=SIMPLE, pad_edge=False, show_footer=True)
    table.add_column("", no_wrap=True)
    table.add_column("part", footer="total", no_wrap=True)
    table.add_column("GiB", footer=gib(plan.total), justify="right", no_wrap=True)
    if explain:
        table.add_column("how (bytes)", footer=f"{plan.total:,}")
    for number, (name, size, how) in enumerate(_rows(plan)):
        row = (LETTERS[number], name, gib(size)) if size >= 2**30 / 200 else (LETTERS[number], name, "<0.01")
        table.add_row(*row, *([f"{how} = {size:,}"] if explain else []))
    return table


def _more(result: PlanResult) -> list[Any]:
    plan = result.plan
    lines: list[Any] = []
    others = {name: size for name, size in plan.memory.moments.items() if name != plan.memory.moment}
    lines.append("in " + ", in ".join(f"{name} {gib(size + plan.context)} GiB" for name, size in others.items()))
    if plan.run.roles.sequences:
        lines.append(
            f"answers sampled at once: {plan.run.roles.sequences} (train with --sample-rows {plan.wish.sample_rows})"
        )
    if plan.fits:
        left = room(plan.gpu) - plan.memory.total
        lines.append(f"left: {gib(left)} GiB after 8% for gaps between allocations")
        tokens = plan.batch.tokens // plan.wish.examples * result.largest_batch
        lines.append(f"largest batch that fits: {result.largest_batch} example(s), --tokens-per-batch {tokens}")
    elif result.nearest:
        lines.append("it fits with")
        for change, other in result.nearest:
            lines.append(f"  {change:32} {gib(other.total)} GiB of {other.gpu.memory:.2f}")
    else:
        lines.append("nothing that is known here makes it fit one card")
    return [*lines, *(_time(result) if plan.fits else [])]


def _time(result: PlanResult) -> list[str]:
    epoch = result.epoch
    if epoch is None:
        return []
    line = f"an epoch of {epoch.examples:,} examples: about {_span(epoch.total)}"
    parts = [f"training {_span(epoch.training)}"]
    if epoch.reference.slow:
        parts.append(f"reference and scores {_span(epoch.reference)}")
    if epoch.sampling.slow:
        parts.append(f"sampling {_span(epoch.sampling)}")
    lines = [line, *(f"  {part}" for part in parts), "  (45% to 20% of the card's rate: a guess until it is measured)"]
    if result.price is not None:
        low, high = epoch.total.price(result.price)
        lines.append(f"  ${low:.2f} to ${high:.2f} at ${result.price:g} an hour")
        lines.append(f"  ({result.price_source})")
    return lines


def _span(duration: Duration) -> str:
    unit, name = (3600, "h") if duration.slow >= 5400 else (60, "min") if duration.slow >= 90 else (1, "s")
    return f"{duration.fast / unit:.1f} to {duration.slow / unit:.1f} {name}"


def _cards(results: Sequence[PlanResult]) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("--gpu", "memory", "needed", "", "checkpointing", "an epoch", "$"):
        right = heading in ("memory", "needed", "$")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for result in results:
        plan, epoch = result.plan, result.epoch
        price = "" if result.price is None or epoch is None else f"{epoch.total.price(result.price)[1]:.2f}"
        word = Text("fits", "green") if plan.fits else Text("no", "red")
        on = "on" if plan.run.checkpointing else "off"
        span = _span(epoch.total) if epoch is not None and plan.fits else ""
        table.add_row(
            plan.gpu.name, f"{plan.gpu.memory:.1f}", gib(plan.total), word, on, span, price if plan.fits else ""
        )
    return table
