"""Messages to the customer service of an online shop, each of one of 17 intents, and what the intents are.

30 messages per intent: 20 to take examples from (``"pool"``) and 10 to test on. They were invented for this
project, one by one; no customer wrote them. Many are easy, some could go to two desks and are labelled with the one
that would deal with them. No message holds a word of its intent's name: looking for the name finds nothing.

Of each intent there is the *name* and a *description*, a sentence such as a routing desk works with. These were
written before a model had seen them: a description that is mended until messages are found is training in disguise.
"""

from __future__ import annotations

import pandas as pd

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import Category, Column, DataError, Text

FILE = "customer_messages.csv"
FILE_OF_INTENTS = "customer_intents.csv"
INTENTS = (
    "late delivery", "damaged goods", "wrong article", "courier complaint", "address change", "cancellation",
    "return", "refund", "double charge", "refused payment", "voucher", "invoice", "account access",
    "product question", "size advice", "stock", "warranty repair",
)
SPLITS = ("pool", "test")

COLUMNS: dict[str, Column] = {
    "intent": Category(INTENTS),
    "split": Category(SPLITS),
    "text": Text(400),
}
COLUMNS_OF_INTENTS: dict[str, Column] = {
    "intent": Category(INTENTS),
    "description": Text(200),
}


def customer_messages() -> pd.DataFrame:
    """Return the messages, 20 in the pool and 10 to test on of each intent.

    Returns:
        Columns ``intent``, ``split`` and ``text``. The index is the row in the file, as in
        :func:`mtl_tutorial.data.sentence_vectors.sentence_vectors`.

    Raises:
        DataError: the file is missing, damaged, or differs from its declaration or from its hash, or a message
            stands there twice.
    """
    frame = files.read(FILE, COLUMNS)
    twice = frame["text"].str.lower().duplicated()
    if twice.any():
        raise DataError(f"{FILE}: column 'text', row {int(twice.argmax())}: the message stands there a second "
                        f"time; {files.REMEDY_OF_CSV}")
    return frame


def customer_intents() -> pd.DataFrame:
    """Return the texts that stand for the intents: the 17 bare names, and after them the 17 descriptions.

    Returns:
        Columns ``intent``, ``kind`` (``"name"`` or ``"description"``) and ``text``. Each 17 are in the order of
        ``INTENTS``.

    Raises:
        DataError: the file is missing, damaged, or differs from its declaration or from its hash, or an intent is
            missing or in another place.
    """
    frame = files.read(FILE_OF_INTENTS, COLUMNS_OF_INTENTS)
    files.check_one_row_each(FILE_OF_INTENTS, frame, "intent", INTENTS)
    names = pd.DataFrame({"intent": frame["intent"], "kind": "name", "text": frame["intent"].astype(str)})
    sentences = pd.DataFrame({"intent": frame["intent"], "kind": "description", "text": frame["description"]})
    return pd.concat([names, sentences], ignore_index=True)
