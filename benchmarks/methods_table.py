"""Tables of methods_vs_trl.py from its result."""

from rich.console import Console
from rich.table import Table

HEADS = ("", "seconds", "x rows", "x TRL", "tokens", "rows", "TRL", "loss differs")


def rows(result: dict) -> list[tuple[str, ...]]:
    """(case, seconds, speed against rows, against TRL, tokens of the three, largest difference of a step's loss)."""
    return [row(name, case) for name, case in result["cases"].items()]


def row(name: str, case: dict) -> tuple[str, ...]:
    plain, trl = case.get("plain_rows"), case.get("trl")
    differences = [value for key, value in case.items() if key.startswith("max_loss_difference")]
    return (
        name,
        f"{case['pairwright']['train_seconds']:.1f}",
        f"{case['speedup_plain_rows']:.2f}" if plain else "",
        f"{case['speedup_trl']:.2f}" if trl else "",
        f"{case['pairwright']['tokens']:,}",
        f"{plain['tokens']:,}" if plain else "",
        f"{trl['tokens']:,}" if trl else "",
        f"{max(differences):.0e}",
    )


def footer(result: dict) -> str:
    machine, versions = result["machine"], result["versions"]
    return " ".join([*shared(result["cases"]), setting(result, machine, versions)])


def shared(cases: dict) -> list[str]:
    """What sharing prefixes spares, for the kinds of input that have more to share than a pair."""
    said = []
    if {"rankings", "long_pairs"} <= set(cases):
        ratio = cases["rankings"]["pairwright"]["tokens"] / cases["long_pairs"]["pairwright"]["tokens"]
        said.append(f"A ranking of four answers computes {ratio:.2f} times the tokens of one pair with its prompt.")
    if "solutions" in cases:
        case = cases["solutions"]
        own, padded, bare = case["pairwright"]["tokens"], case["plain_rows"]["tokens"], case["pair_rows"]
        said.append(
            f"Ten steps compute {own / padded:.3f} of the tokens of plain rows, {own / bare:.3f} without padding."
        )
    return said


def setting(result: dict, machine: dict, versions: dict) -> str:
    return (
        f"Two steps each, median of {result['repeats']}, training alone. {machine['processor']}, {machine['cores']} "
        f"cores, torch {versions['trl']['torch']}, TRL {versions['trl']['trl']}, {result['date'][:10]}."
    )


def show(result: dict) -> None:
    table = Table(title="Methods", caption=footer(result), title_justify="left", caption_justify="left")
    for head in HEADS:
        table.add_column(head, justify="right" if head else "left")
    for each in rows(result):
        table.add_row(*each)
    Console().print(table)
