import io
import tarfile

import pytest

from mtl_tutorial.data import files, snippets_source
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.snippets import DOMAINS, snippets
from mtl_tutorial.data.snippets_source import ARCHIVE, MEMBERS, convert, draw, parse


def archive_of(contents):
    """A compressed archive, as bytes, of name -> bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def text_file(domain, count=6):
    """Lines as the source writes them; the third repeats the text of the second."""
    whole = domain in ("film review", "tweet")
    names = [f"{row}" if whole else f"{row // 2 + 1}_{row % 2 + 1}" for row in range(1, count + 1)]
    texts = [f"text {2 if row == 3 else row} of a {domain} " for row in range(1, count + 1)]
    return "".join(f"{name}\t{row / 4}\t{text}\r\n"
                   for row, (name, text) in enumerate(zip(names, texts, strict=True), start=1)).encode()


@pytest.fixture
def sdist(tmp_path, monkeypatch):
    """Makes a source distribution; three snippets of each domain are drawn from it."""
    monkeypatch.setattr(snippets_source, "PER_DOMAIN", 3)

    def make(domains=DOMAINS):
        path = tmp_path / "tiny.tar.gz"
        path.write_bytes(archive_of({ARCHIVE: archive_of({MEMBERS[name]: text_file(name) for name in domains})}))
        return path
    return make


def test_lines_become_the_file_that_the_reader_reads(sdist, folder):
    convert(sdist(), folder)
    rows = snippets()
    assert rows.groupby("domain", observed=True).size().to_dict() == dict.fromkeys(DOMAINS, 3)
    assert rows["text"].is_unique
    for row in rows.itertuples():
        number = int(row.text.split()[1])
        assert row.text == f"text {number} of a {row.domain}"
        assert row.sentiment == number / 4
        whole = row.domain in ("film review", "tweet")
        assert (row.source, row.place) == ((number, 1) if whole else (number // 2 + 1, number % 2 + 1))


def test_source_gives_the_same_bytes_each_time(sdist, folder):
    path = sdist()
    convert(path, folder)
    before = files.hashes(folder)
    convert(path, folder)
    assert files.hashes(folder) == before


def test_draw_is_made_by_its_seed_and_keeps_the_order(monkeypatch):
    frame = parse(text_file("tweet", count=60), "tweet", "tweets.txt")
    monkeypatch.setattr(snippets_source, "PER_DOMAIN", 20)
    first = draw(frame)
    assert first.index.is_monotonic_increasing
    assert draw(frame).equals(first)
    monkeypatch.setattr(snippets_source, "SEED", 1)
    assert not draw(frame).equals(first)


def test_missing_file_is_named(sdist, folder):
    with pytest.raises(DataError, match=r"holds no hutto_ICWSM_2014/tweets_GroundTruth\.txt"):
        convert(sdist(DOMAINS[:3]), folder)


def test_domain_with_too_few_texts_is_named(sdist, folder, monkeypatch):
    monkeypatch.setattr(snippets_source, "PER_DOMAIN", 6)
    with pytest.raises(DataError, match="amazon review: 5 distinct texts, but 6 are wanted"):
        convert(sdist(), folder)


@pytest.mark.parametrize("line", ["1\t0.5", "one\t0.5\ttext", "1_x\t0.5\ttext", "1\tgood\ttext"])
def test_line_that_differs_is_named(line):
    with pytest.raises(DataError, match=r"tweets\.txt: line 2 is not a number, a sentiment and a text"):
        parse(f"1\t0.5\ttext\r\n{line}\r\n".encode(), "tweet", "tweets.txt")
