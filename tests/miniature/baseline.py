"""A model's scores on unseen requests, a Markdown table. Not a test: python tests/miniature/baseline.py [FOLDER]"""

import argparse
import time
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

from pairwright.feedback.sample import sample
from pairwright.miniature import BASE_MODEL, DIMENSIONS, make_requests, mean_scores, score

COLUMNS = (*DIMENSIONS, "gold")


def main() -> None:
    parser = argparse.ArgumentParser(description="Score a model on unseen requests of the miniature.")
    parser.add_argument("model", type=Path, nargs="?", default=BASE_MODEL, help="model folder")
    parser.add_argument("--requests", type=int, default=300, help="number of unseen requests")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the sampling; 0 for greedy")
    parser.add_argument("--seed", type=int, default=0, help="of requests and samples")
    arguments = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(arguments.model)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    requests = make_requests(arguments.requests, arguments.seed, "unseen")
    started = time.monotonic()
    answers = sample(
        model,
        tokenizer,
        [request.prompt for request in requests],
        temperature=arguments.temperature,
        seed=arguments.seed,
    )
    seconds = time.monotonic() - started
    scores = [score(request, each[0].text, each[0].ended) for request, each in zip(requests, answers)]
    print(f"| requests | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for kind in ("all", "harmless", "borderline", "harmful"):
        means = mean_scores(s for s, request in zip(scores, requests) if kind in ("all", request.kind))
        print(f"| {kind} | {' | '.join(f'{means[name]:.2f}' for name in COLUMNS)} |")
    print(f"\n{len(requests)} answers in {seconds:.1f} s")


if __name__ == "__main__":
    main()
