"""The codebook of the Open Bandit sample: campaigns, their items, and what each column may hold.

User features are anonymous: the source gives hashes, of which the first eight hexadecimal digits are kept.
"""

from mtl_tutorial.data.columns import Category, Column, Integer, Real

ITEMS = {"all": 80, "men": 34, "women": 46}     # campaign -> its items; item 7 of two campaigns is not one item
POLICIES = ("random", "bts")                    # uniform; Bernoulli Thompson sampling, trained beforehand
POSITIONS = 3                                   # left, centre, right
HASH_DIGITS = 8

FIRST, LAST = 1_574_553_600_000_000, 1_575_158_399_999_999      # 24 November to 30 November 2019, UTC

COLUMNS: dict[str, Column] = {
    "campaign": Category(tuple(ITEMS)),
    "policy": Category(POLICIES),               # that chose the item
    "timestamp": Integer(FIRST, LAST),          # microseconds since 1970, UTC
    "item": Integer(0, max(ITEMS.values()) - 1),        # number within the campaign
    "position": Integer(1, POSITIONS),          # 1 left, 2 centre, 3 right
    "click": Integer(0, 1),
    "propensity": Real(1e-9, 1),                # the policy's probability of showing this item here, at that time
    "affinity": Integer(0, 999),                # past clicks of this user on this item
    "affinity_all": Integer(0, 999),            # past clicks of this user on any item of the campaign
    "user_feature_0": Category(("4ae385d7", "81ce123c", "cef3390e")),
    "user_feature_1": Category(("03a5648a", "2d03db55", "6ff54aa8", "8b506218", "f1c2d6a3")),
    "user_feature_2": Category((
        "2723d2eb", "302deff1", "719dab53", "7ae37150", "7bc94a2d", "9b2d331c", "9f4e8271", "c2e4f76c",
        "c7cce490")),
    "user_feature_3": Category((
        "05b76f5e", "06128286", "1f5491ca", "270b3e1c", "3aef83d3", "9bde591f", "c39b0c7d", "c9dce82b", "ec6cfbbf",
        "f97571b9")),
}
USER_FEATURES = tuple(name for name in COLUMNS if name.startswith("user_feature"))
