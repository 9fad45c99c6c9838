"""Write the tables of benchmarks/README.md from the files in benchmarks/results/, so that it shows
measured figures only.

    python benchmarks/table.py [--check]

--check changes nothing and fails if the README is not what the result files say.
"""

import argparse
import json
import re
from pathlib import Path

import methods_table
import report

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"


def markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cpu(results: list[dict]) -> str:
    """One table for each result of dpo_vs_trl.py."""
    if not results:
        return "No result is kept here yet."
    parts = []
    for result in results:
        machine, versions = result["machine"], result["trl"][str(result["trl_batch_size"])]["versions"]
        parts.append(
            f"{markdown(report.heads(result), report.rows(result))}\n\n{report.footer(result)}\n"
            f"{machine['processor']}, {machine['cores']} cores, torch {versions['torch']}, TRL {versions['trl']}, "
            f"{result['date'][:10]}."
        )
    return "\n\n".join(parts)


def methods(results: list[dict]) -> str:
    """The table of methods_vs_trl.py."""
    if not results:
        return "No result is kept here yet."
    return "\n\n".join(
        f"{markdown(methods_table.HEADS, methods_table.rows(result))}\n\n{methods_table.footer(result)}"
        for result in results
    )


def gpu(results: list[dict]) -> str:
    """Speed, memory and parity of each result of gpu.py that was measured on a GPU."""
    measured = [r for r in results if "gpu" in r["sections"]["environment"]]
    if not measured:
        return (
            "No GPU has been at hand yet: there is no result, only a script that is known to run on a CPU (`--tiny`)."
        )
    return "\n\n".join(_one_gpu(result) for result in measured)


def _one_gpu(result: dict) -> str:
    sections = result["sections"]
    environment = sections["environment"]
    versions = environment["versions"]
    parts = [
        f"{environment['gpu']['name']}, torch {versions['torch']}, TRL {versions['trl']}, {result['date'][:10]}; "
        f"{environment['measured_tflops']:.0f} TFLOP/s measured for a large bf16 product."
    ]
    if "compared" in (parity := sections["parity"]):
        parts.append(
            f"Parity with the dense mask: {parity['passed']} of {parity['compared']} comparisons within limits."
        )
    memory = sections["memory_7b_qlora"]
    if "pairwright" in memory:
        trl = memory.get("trl", {})
        theirs = f"{trl['reserved_gb']:.2f} GB" if "reserved_gb" in trl else "out of memory" if trl else "not run"
        parts.append(
            f"{memory['model']} QLoRA at {memory['sequence_tokens']:,} tokens, process capped at "
            f"{memory['cap_gb']:.0f} GB: {memory['pairwright']['allocated_gb']:.2f} GB at the peak "
            f"({memory['pairwright']['reserved_gb']:.2f} GB reserved); TRL: {theirs} reserved."
        )
    for name, section in sections.items():
        if name.startswith("speed") and section.get("cells"):
            parts.append(_speed_table(section))
    return "\n\n".join(parts)


def _speed_table(section: dict) -> str:
    head = (
        f"{section['model']} {section['tuning']}, prompt + answer",
        "Pairwright, s a step",
        "TRL, s a step",
        "times as fast",
        "MFU, %",
        "peak, GB",
        "TRL's peak, GB",
    )
    rows = []
    for cell, entry in section["cells"].items():
        ours, trl = entry["pairwright"], entry.get("trl", {})
        show = lambda side, key, form: f"{side[key]:{form}}" if side.get(key) is not None else "-"  # noqa: E731
        mfu = f"{100 * entry['mfu_pairwright']:.0f}" if "mfu_pairwright" in entry else "-"
        rows.append(
            (
                cell,
                show(ours, "seconds", ".3f"),
                show(trl, "seconds", ".3f"),
                show(entry, "speedup", ".2f"),
                mfu,
                show(ours, "allocated_gb", ".1f"),
                show(trl, "allocated_gb", ".1f"),
            )
        )
    return markdown(head, rows)


def load(pattern: str) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((HERE / "results").glob(pattern))]


def rendered(text: str) -> str:
    """The README with the part between each pair of markers replaced."""
    parts = {
        "cpu": cpu(load("dpo_vs_trl_*.json")),
        "methods": methods(load("methods_vs_trl.json")),
        "gpu": gpu(load("gpu*.json")),
    }
    for name, content in parts.items():
        marker = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not marker.search(text):
            raise ValueError(f"{README.name} has no <!-- {name} --> ... <!-- /{name} -->")
        text = marker.sub(lambda found, new=content: f"{found[1]}{new}\n{found[2]}", text)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    old = README.read_text(encoding="utf-8")
    new = rendered(old)
    if args.check and new != old:
        raise SystemExit("benchmarks/README.md is not what the result files say: run python benchmarks/table.py")
    README.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
