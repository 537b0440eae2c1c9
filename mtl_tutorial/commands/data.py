"""``data``: rebuild the files in data/ from their sources."""

import argparse
from importlib import import_module

from mtl_tutorial.bootstrap import ROOT

# each has a module mtl_tutorial.data.<name>_source with a function rebuild(target)
DATA_SETS = ("census", "fashion_mnist", "food_reviews", "open_bandit", "scanner_panels", "snippets",
             "sentence_vectors")        # of the texts, so these come first


def main(options: argparse.Namespace) -> int:
    """Rebuild the named data sets, or all of them."""
    for name in options.names:
        if name not in DATA_SETS:
            raise SystemExit(f"mtl_tutorial: there is no data set {name}; there are: {', '.join(DATA_SETS)}")
    for name in options.names or DATA_SETS:
        print(f"mtl_tutorial: rebuilding {name}", flush=True)
        try:
            import_module(f"mtl_tutorial.data.{name}_source").rebuild(ROOT / "data")
        except (OSError, ValueError) as error:
            raise SystemExit(f"mtl_tutorial: {name} was not rebuilt: {error}") from None
    return 0
