"""Rebuild the snippets of four domains from their source; ``make data`` calls it, nothing else does.

The source distribution of ``vaderSentiment`` carries an archive with one text file per domain. pip fetches the
distribution by name and hash; it is never installed.
"""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path

import pandas as pd

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.package_download import rebuild_from
from mtl_tutorial.data.snippets import COLUMNS, FILE

PACKAGE = "vaderSentiment==3.3.2"
SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
MEMBERS = {
    "amazon review": "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt",
    "film review": "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
    "news editorial": "hutto_ICWSM_2014/nytEditorialSnippets_GroundTruth.txt",
    "tweet": "hutto_ICWSM_2014/tweets_GroundTruth.txt",
}
PER_DOMAIN = 1_500
SEED = 0                                        # of the draw of PER_DOMAIN snippets from each domain


def convert(sdist: Path, target: Path) -> None:
    """Write ``snippets.parquet``: from each domain a random draw of its distinct texts, in the source's order.

    Of texts that occur in a domain more than once, the first takes part in the draw.

    Raises:
        DataError: a file is missing, a line is not what it should be, or a domain has too few texts.
    """
    with tarfile.open(sdist) as outer, tarfile.open(fileobj=io.BytesIO(_member(outer, ARCHIVE))) as archive:
        parts = [draw(parse(_member(archive, member), domain, member)) for domain, member in MEMBERS.items()]
    files.write(target, FILE, pd.concat(parts, ignore_index=True), COLUMNS, codec="brotli")


rebuild = rebuild_from(PACKAGE, SHA256, "sdist", convert)


def parse(content: bytes, domain: str, member: str) -> pd.DataFrame:
    """Return one row per line: number (``7`` or ``7_2``), mean sentiment and text, separated by tabs.

    Raises:
        DataError: a line has other parts; it is named.
    """
    rows = []
    for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
        try:
            name, sentiment, text = line.split("\t")
            source, _, place = name.partition("_")
            rows.append((domain, int(source), int(place or 1), float(sentiment), text.strip()))
        except ValueError:
            raise DataError(f"{member}: line {number} is not a number, a sentiment and a text") from None
    return pd.DataFrame(rows, columns=list(COLUMNS))


def draw(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``PER_DOMAIN`` rows with distinct texts, drawn by ``SEED``, in the order of the frame.

    Raises:
        DataError: there are fewer distinct texts.
    """
    distinct = frame.drop_duplicates("text")
    if len(distinct) < PER_DOMAIN:
        raise DataError(f"{frame['domain'].iloc[0]}: {len(distinct)} distinct texts, but {PER_DOMAIN} are wanted")
    return distinct.iloc[sorted(random.Random(SEED).sample(range(len(distinct)), PER_DOMAIN))]


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    try:
        return archive.extractfile(name).read()
    except KeyError:
        raise DataError(f"{Path(archive.name).name if archive.name else ARCHIVE}: holds no {name}") from None
