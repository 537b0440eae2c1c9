"""The codebook of the household scanner panels: categories, their brands, and what each column may hold.

One row is one brand on the shelf at one purchase (an *occasion*) of one household. Prices are in the unit of the
source, which differs between categories; a price of 0 is the source's own and no price. ``not recorded`` is our
word for a column that the source does not have in that category.
"""

from mtl_tutorial.data.columns import Category, Column, Integer, Real

BRANDS = {                              # category -> its brands, in the order of the source
    "catsup": ("heinz41", "heinz32", "heinz28", "hunts32"),             # bottles of 41, 32, 28 ounces
    "cracker": ("sunshine", "kleebler", "nabisco", "private"),
    "ketchup": ("heinz", "hunts", "delmonte", "stb"),                   # stb: store brand
    "tuna": ("skw", "cosw", "sko", "coso", "pw"),                       # ...w in water, ...o in oil
    "yogurt": ("yoplait", "dannon", "hiland", "weight"),                # weight: Weight Watchers
}
CATEGORY_OF = {brand: category for category, brands in BRANDS.items() for brand in brands}

MAKER_OF = {                            # who makes a brand: the one thing that categories share
    "heinz41": "heinz", "heinz32": "heinz", "heinz28": "heinz", "hunts32": "hunts",
    "sunshine": "sunshine", "kleebler": "kleebler", "nabisco": "nabisco", "private": "the shop itself",
    "heinz": "heinz", "hunts": "hunts", "delmonte": "delmonte", "stb": "the shop itself",
    "skw": "starkist", "cosw": "chicken of the sea", "sko": "starkist", "coso": "chicken of the sea",
    "pw": "the shop itself",
    "yoplait": "yoplait", "dannon": "dannon", "hiland": "hiland", "weight": "weight watchers",
}
MAKERS = tuple(dict.fromkeys(MAKER_OF.values()))

NOT_RECORDED = "not recorded"
SHOWN = Category((NOT_RECORDED, "no", "yes"))

COLUMNS: dict[str, Column] = {
    "category": Category(tuple(BRANDS)),
    "household": Integer(1, 9_999),     # the source's number, given anew in each category
    "occasion": Integer(0, 999),        # row of the source within the household, from 0
    "brand": Category(tuple(CATEGORY_OF)),
    "price": Real(0, 200),              # ketchup and tuna in dollars, cracker in cents, catsup and yogurt unstated
    "display": SHOWN,                   # did the shop put the brand on a special display?
    "feature": SHOWN,                   # did a newspaper advertise it?
    "bought": Integer(0, 1),            # was it the one that the household took?
}
