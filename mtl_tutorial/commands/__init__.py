"""The commands of ``python3 -m mtl_tutorial``, one module each. This file is standard library only."""

import argparse
import sys
from importlib import import_module

from mtl_tutorial import bootstrap
from mtl_tutorial.commands import bench

ENVIRONMENTS = {"bench": bench.ENVIRONMENT}     # of commands that do not run in that of the lessons


def main(arguments: list[str] | None = None) -> int:
    """Run one command inside the project's environment, made first where it is missing or stale.

    Args:
        arguments: the words after ``python -m mtl_tutorial``; those of the process by default.

    Returns:
        The exit status.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(words)
    try:
        bootstrap.ensure(words, here=options.here, environment=ENVIRONMENTS.get(options.command))
        return import_module(f"mtl_tutorial.commands.{options.command}").main(options)
    except KeyboardInterrupt:
        print("mtl_tutorial: interrupted", file=sys.stderr)
        return 130


def parse(words: list[str]) -> argparse.Namespace:
    """Parse the words of a command; those after ``--`` are for pytest, and only ``test`` takes any."""
    cut = words.index("--") if "--" in words else len(words)
    parser = _parser()
    options = parser.parse_args(words[:cut])
    options.extra = words[cut + 1 :]
    if options.extra and options.command != "test":
        parser.error(f"only 'test' takes words after '--', '{options.command}' does not")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m mtl_tutorial", description="Lessons that check themselves.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--here", action="store_true", help="use this Python as it is (conda, Docker): no .venv")
        return sub

    lab = command("lab", "open the lessons in JupyterLab")
    lab.add_argument("--port", type=_port, default=8888, help="default 8888")

    test = command("test", "lint, then every notebook and every test; words after '--' go to pytest tests")
    test.add_argument("--quick", action="store_true", help="lint, unit tests and lesson 01 only")

    run = command("run", "run the notebooks with papermill and write a table to build/run/")
    run.add_argument("numbers", nargs="*", metavar="NUMBER", help="lessons to run, e.g. 01 (default: all)")
    run.add_argument("--scale", choices=["ci", "full"], default="ci", help="full: with notebooks/full.yaml")
    run.add_argument("--seed", type=int, help="value of SEED in every notebook")

    notebooks = command("notebooks", "execute the notebooks in place and normalise them: how outputs are committed")
    notebooks.add_argument("numbers", nargs="*", metavar="NUMBER", help="lessons to execute (default: all)")

    data = command("data", "rebuild data/ from its sources (needs the network)")
    data.add_argument("names", nargs="*", metavar="NAME", help="data sets to rebuild (default: all)")

    compare = command("bench", "run the comparisons in benchmarks/ (the first time needs the network)")
    compare.add_argument("names", nargs="*", type=bench.comparison, metavar="NAME", help="which (default: all)")
    compare.add_argument("--quick", action="store_true",
                         help="under 3 minutes: smaller runs, nothing is written; fails below 80 %% of a target")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)
