"""Inner products that are the same on every processor: on a grid so coarse that no sum of products is rounded.

A matrix product adds in an order of its own, by the processor's kernels, the number of threads and the matrix's shape,
so its last digits differ, and with them every order and choice that hangs on them. Rounding the result does not help:
of two values that differ in the last digit, some lie on either side of a step. Rounding the vectors first does: all
products are then whole numbers of one unit, and a sum that fits into the mantissa is exact in any order (pre-rounding;
Demmel and Nguyen, Fast Reproducible Floating-Point Summation, 2013). The two grids are not in the paper.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Float64, FloatMatrix

# Coordinates are whole numbers of 1 / STEPS of the length: |x| |y| <= 1.016 * 4000^2 < 2^24 up to 4,096 dimensions
# (< 2^24 up to 36,000), so single precision is exact. A cosine is off by 1e-4 (standard deviation): good enough to
# propose candidates and to cluster.
STEPS = 4000
COARSE = 8e-4  # eight of these standard deviations: pairs so near a bound are looked at again on the fine grid
FINE = 2.0**26  # the same for double precision: |x| |y| < 2 has 53 bits. A cosine is off by 1e-8: decides


def on_grid(vectors: NDArray[Any]) -> FloatMatrix:
    """`vectors` (N, d), scaled to length `STEPS` and rounded to whole numbers: their products by `@` are exact.

    Args:
        vectors: any lengths but 0. A new array is made, so hand over blocks where N is large.
    """
    part = np.asarray(vectors, dtype=np.float64)
    length = np.sqrt(np.add.reduce(part * part, axis=1))
    grid: FloatMatrix = np.rint(part * (STEPS / np.maximum(length, 1e-300))[:, None]).astype(np.float32)
    return grid


def fine(vectors: NDArray[Any]) -> Float64:
    """`vectors` (N, d), scaled to unit length and rounded to the finer grid: their products by `@` are exact.

    Rounded to single precision as well, so that they can be kept so; they must be multiplied in double precision.

    Args:
        vectors: any lengths but 0. A new array of twice the memory is made: hand over blocks where N is large.
    """
    part = np.asarray(vectors, dtype=np.float64)
    length = np.sqrt(np.add.reduce(part * part, axis=-1))
    wide: Float64 = np.rint(part * (FINE / np.maximum(length, 1e-300))[..., None]) / FINE
    return wide.astype(np.float32).astype(np.float64)
