"""How private noise is: an exact account of T Gaussian mechanisms.

Releasing a sum that one client can move by at most S, with noise N(0, (σ S)²) on every number, is 1/σ-GDP: to tell
whether the client was there is as hard as to tell one draw of N(0, 1) from one of N(1/σ, 1). T such releases, each
one chosen in the light of those before, are μ-GDP with μ = √T / σ. Nothing is lost on the way, and from μ to (ε, δ)
nothing either: these are equalities. They hold where *every* client takes part in every round. (Sampling
clients makes more privacy, and needs another account.)

``noise`` is σ = standard deviation / S. The neighbours that count are sums with and without one client; where
neighbours *replace* one, the sum moves by up to 2 S: give half the σ.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr


def gdp_mu(noise: float, rounds: int = 1) -> float:
    """Return μ of ``rounds`` releases with noise multiplier ``noise``: √T / σ, infinite without noise.

    Raises:
        ValueError: negative noise, fewer than one round.

    Reference: Dong, Roth and Su 2022, Gaussian Differential Privacy, theorem 1 (a Gaussian mechanism) and the
    corollary on composing them: μ² adds up.
    """
    if noise < 0 or rounds < 1:
        raise ValueError(f"noise={noise} must not be negative, rounds={rounds} must be at least 1")
    return math.sqrt(rounds) / noise if noise > 0 else math.inf


def delta_of_epsilon(epsilon: float, mu: float) -> float:
    """Return the smallest δ such that μ-GDP is (ε, δ)-private: Φ(−ε/μ + μ/2) − e^ε Φ(−ε/μ − μ/2).

    Args:
        epsilon: ε, at least 0.
        mu: of the account, above 0; infinite where there is no noise.

    Raises:
        ValueError: a negative ε, a μ that is not positive.

    Reference: Balle and Wang 2018, Improving the Gaussian Mechanism for Differential Privacy, theorem 8, with
    μ = Δ/σ; the same of μ-GDP in Dong, Roth and Su 2022.
    """
    return math.exp(_log_delta(epsilon, mu))


def epsilon_of_delta(delta: float, mu: float) -> float:
    """Return the smallest ε ≥ 0 such that μ-GDP is (ε, δ)-private; infinite where there is no noise.

    Raises:
        ValueError: a δ outside (0, 1), a μ that is not positive.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta={delta} is outside (0, 1)")
    wanted = math.log(delta)
    if _log_delta(0.0, mu) <= wanted:
        return 0.0
    if math.isinf(mu):
        return math.inf
    high = mu * mu / 2 + mu * math.sqrt(-2 * wanted)                # Φ(−ε/μ + μ/2) alone is at most δ there
    return float(brentq(lambda epsilon: _log_delta(epsilon, mu) - wanted, 0.0, high, xtol=1e-12, rtol=1e-12))


def noise_for(epsilon: float, delta: float, rounds: int = 1) -> float:
    """Return the least noise multiplier σ with which ``rounds`` releases are (ε, δ)-private together.

    Raises:
        ValueError: a negative ε, a δ outside (0, 1), fewer than one round.
    """
    if epsilon < 0 or not 0 < delta < 1 or rounds < 1:
        raise ValueError(f"epsilon={epsilon} must not be negative, delta={delta} must be in (0, 1), "
                         f"rounds={rounds} at least 1")
    wanted, high = math.log(delta), 1.0
    while _log_delta(epsilon, high) < wanted:
        high *= 2
    low = high
    while _log_delta(epsilon, low) > wanted:
        low /= 2
    mu = brentq(lambda mu: _log_delta(epsilon, mu) - wanted, low, high, xtol=1e-14, rtol=1e-12)
    return math.sqrt(rounds) / mu


def _log_delta(epsilon: float, mu: float) -> float:
    """Return log δ(ε), without the cancellation of two nearly equal terms."""
    if epsilon < 0 or not mu > 0:
        raise ValueError(f"epsilon={epsilon} must not be negative, mu={mu} must be positive")
    if math.isinf(mu):
        return 0.0
    first = log_ndtr(-epsilon / mu + mu / 2)
    second = epsilon + log_ndtr(-epsilon / mu - mu / 2)
    return float(first + np.log(-np.expm1(second - first)))
