from mtl_tutorial.progress_bar import bar


def test_bar_passes_through_what_it_iterates_over(monkeypatch, capsys):
    monkeypatch.setenv("MTL_TUTORIAL_QUIET", "1")
    assert list(bar(range(3), "training")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_bar_counts_steps(monkeypatch):
    monkeypatch.delenv("MTL_TUTORIAL_QUIET", raising=False)
    with bar(5, "training") as progress:
        progress.update(2)
        assert (progress.n, progress.total) == (2, 5)
        assert not progress.leave
