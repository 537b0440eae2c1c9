"""A sum whose terms the server never sees: every client adds noise that cancels in the sum.

Each two clients share a secret mask; the one with the lower number adds it, the other subtracts it. All arithmetic
is on integers modulo 2^k, where a uniform mask hides a number perfectly and the sum comes out exact. (Of floats
neither is true.)

What this leaves out. The two must agree on their mask without the server (a key agreement, then a cryptographic
generator: :func:`torch.randint` is none). If one client drops out after the others have sent, its masks do not
cancel and the sum is noise: the protocol of Bonawitz et al. deals out shares of the seeds beforehand, so that
enough of the others can rebuild a missing client's. The *sum* itself still tells of the clients: hiding that takes
noise, see :mod:`~mtl_tutorial.fusion.dp_fed_avg`.

Reference: Bonawitz et al. 2017, Practical Secure Aggregation for Privacy-Preserving Machine Learning, section 4.
"""

from __future__ import annotations

import torch
from torch import Tensor

RING = 32               # numbers are modulo 2^RING: 4 bytes, as many as a float32 takes
POINT = 16              # bits after the binary point


def to_ring(values: Tensor, summands: int, point: int = POINT, ring: int = RING) -> Tensor:
    """Write numbers as integers modulo 2^ring, in fixed point: round(x · 2^point).

    Args:
        values: floats, […].
        summands: of how many such tensors the sum must still fit.
        point: bits after the binary point; each number is off by up to 2^−(point + 1).
        ring: bits of a number, at most 62.

    Returns:
        int64 in [0, 2^ring), […].

    Raises:
        ValueError: values so large that a sum could run over, or not finite; a ring above 62 bits.
    """
    if not 1 <= ring <= 62:
        raise ValueError(f"ring={ring} bits is outside 1 … 62: int64 must hold a sum of two numbers")
    most = (2 ** (ring - 1) - 1) // summands
    fixed = (values.cpu().double() * 2.0**point).round()
    if not (fixed.abs() <= most).all():
        raise ValueError(f"values up to {values.abs().max().item():g} are not finite or too large: a sum of "
                         f"{summands} runs over unless they stay below {most / 2**point:g}; use fewer bits "
                         f"after the point")
    return fixed.long().to(values.device) % 2**ring


def from_ring(total: Tensor, point: int = POINT, ring: int = RING) -> Tensor:
    """Read integers modulo 2^ring as float64, on the CPU; the upper half of the ring is negative."""
    half = 2 ** (ring - 1)
    return ((total + half) % 2**ring - half).cpu().double() / 2.0**point


def pairwise_masks(clients: int, size: int, generator: torch.Generator, ring: int = RING) -> Tensor:
    """Draw what each two clients share, uniform modulo 2^ring: [C, C, size], symmetric, 0 on the diagonal."""
    drawn = torch.randint(2**ring, (clients, clients, size), generator=generator)
    upper = drawn.permute(2, 0, 1).triu(1)                                              # [size, C, C]
    return (upper + upper.mT).permute(1, 2, 0)


def masked(value: Tensor, shared: Tensor, client: int, ring: int = RING) -> Tensor:
    """Return what a client sends: its value plus the masks shared with later clients, minus those with earlier.

    Args:
        value: the client's integers, [P].
        shared: its mask with each of the C clients, [C, P]; the row of the client itself is not used.
        client: its number, 0 … C − 1.
        ring: everything is modulo 2^ring.

    Returns:
        int64 in [0, 2^ring), [P].

    Raises:
        ValueError: a client that is not among the C, masks of another length.
    """
    if not 0 <= client < len(shared):
        raise ValueError(f"client {client} is none of 0 … {len(shared) - 1}")
    if shared.shape[1:] != value.shape:
        raise ValueError(f"masks of shape {list(shared.shape[1:])} for values of shape {list(value.shape)}")
    return (value + shared[client + 1:].sum(0) - shared[:client].sum(0)) % 2**ring


def modular_sum(sent: Tensor, ring: int = RING) -> Tensor:
    """Add up what the clients sent, [C, P], modulo 2^ring, [P]: all that the server computes."""
    return sent.sum(0) % 2**ring
