"""What the benchmarks show to people: tables from result objects, never from anything else."""

import sys

from rich.console import Console
from rich.table import Table


def say(line: str) -> None:
    """Progress goes to stderr: the last line of stdout belongs to the JSON."""
    print(line, file=sys.stderr, flush=True)


def title(result: dict) -> str:
    settings = result["settings"]
    return f"{settings['tuning']}, {settings['precision']}"


def rows(result: dict) -> list[tuple[str, str, str, str]]:
    """(what, Pairwright, TRL in one batch a step, TRL at its fastest) of one result of dpo_vs_trl.py."""
    ours = result["pairwright"]
    default = result["trl"][str(result["trl_batch_size"])]
    best = result["trl"][str(result["trl_best_batch_size"])]
    sides = (ours, default, best)
    # The needed arithmetic at the rate that the machine sustains, and nothing else.
    least = sum(result["needed_flops"].values()) / (result["measured_gflops"]["sustained"] * 1e9)
    line = lambda name, show: (name, *(show(one) for one in sides))  # noqa: E731
    return [
        line("training, s", lambda one: f"{one['train_seconds']:.1f}"),
        line("reference and preparation, s", lambda one: f"{one['preparation_seconds']:.1f}"),
        line("total, s", lambda one: f"{one['total_seconds']:.1f}"),
        line("tokens computed", lambda one: f"{one['tokens']:,.0f}"),
        line("peak memory, MB", lambda one: f"{one['peak_memory_mb']:,.0f}"),
        ("times as fast, training", "", f"{result['speedup_train']:.2f}", f"{result['speedup_train_best']:.2f}"),
        ("times as fast, total", "", f"{result['speedup_total']:.2f}", f"{result['speedup_total_best']:.2f}"),
        ("at most possible, training", f"{least:.1f} s", *(f"{one['train_seconds'] / least:.2f}" for one in sides[1:])),
    ]


def footer(result: dict) -> str:
    rate = result["measured_gflops"]
    return (
        f"{result['pairs']} pairs, {result['steps']} steps, median of {result['repeats']}. "
        f"Largest difference of a step's loss: {result['max_loss_difference']:.1e}. "
        f"Pairwright: {result['achieved_gflops']:.0f} GFLOP/s, {100 * result['flops_fraction_sustained']:.0f}% of the "
        f"{rate['sustained']:.0f} that the machine sustains in matrix products, {100 * result['flops_fraction']:.0f}% "
        f"of the {rate['square']:.0f} of its best single product."
    )


def heads(result: dict) -> tuple[str, str, str, str]:
    return (
        title(result),
        "Pairwright",
        f"TRL, batches of {result['trl_batch_size']}",
        f"TRL, batches of {result['trl_best_batch_size']} (its fastest)",
    )


def comparison_table(results: list[dict]) -> None:
    console = Console()
    for result in results:
        table = Table(
            title=f"DPO, {title(result)}", caption=footer(result), title_justify="left", caption_justify="left"
        )
        first, *others = heads(result)
        table.add_column(first)
        for head in others:
            table.add_column(head, justify="right")
        for row in rows(result):
            table.add_row(*row)
        console.print(table)
