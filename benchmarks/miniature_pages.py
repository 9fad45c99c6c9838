"""Pages of methods_on_miniature.py from its result file."""


def write(result: dict) -> None:
    pass
