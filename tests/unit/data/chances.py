"""Whether counts are as announced, within the error of sampling."""

BINS = 10
SIGMAS = 4.5            # of sampling error: a false alarm in about 150,000 comparisons


def assert_binomial(successes, chances, trials):
    """Every count as announced, within chance; where the variance is tiny, nothing can be told."""
    variance = trials * chances * (1 - chances)
    told = variance > 4
    assert told.any()
    error = (successes - trials * chances)[told] / variance[told].sqrt()
    assert error.abs().max() < SIGMAS


def assert_calibrated(labels, probability, order=None):
    """In every tenth of the rows, ordered by probability or as told, as many positives as announced."""
    labels, probability = labels.double(), probability.double()
    order = probability if order is None else order
    for rows in order.argsort().tensor_split(BINS):
        chance = probability[rows]
        error = (labels[rows] - chance).sum() / (chance * (1 - chance)).sum().sqrt()
        assert abs(error.item()) < SIGMAS
