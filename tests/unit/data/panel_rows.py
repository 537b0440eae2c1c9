"""Scanner-panel rows made by hand, for the tests."""

import pandas as pd

from mtl_tutorial.data.columns import Category
from mtl_tutorial.data.scanner_panels_columns import BRANDS, COLUMNS


def panel_rows(*households, price=1.0):
    """Rows of the given households, each (category, brands bought in turn); the n-th of a category has number n."""
    rows, numbers = [], dict.fromkeys(BRANDS, 0)
    for category, choices in households:
        numbers[category] += 1
        rows += [(category, numbers[category], occasion, brand, price, "no", "not recorded", int(brand == choice))
                 for occasion, choice in enumerate(choices) for brand in BRANDS[category]]
    return typed(pd.DataFrame(rows, columns=list(COLUMNS)))


def typed(frame):
    """The rows with the codebook's categories, as the reader returns them."""
    return frame.assign(**{name: pd.Categorical(frame[name], column.values)
                           for name, column in COLUMNS.items() if isinstance(column, Category)})


def changed(frame, column, rows, value):
    """The rows with another value in one column of some of them."""
    frame = frame.astype({column: object})
    frame.loc[rows, column] = value
    return frame.infer_objects()
