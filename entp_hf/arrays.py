"""Float64 types that several folders share."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FloatMatrix = NDArray[np.float32]
Ints = NDArray[np.int64]
Float64 = NDArray[np.float64]


class Vectors(Protocol):
    """Embeddings by number, or by several: a matrix, or what puts one together."""

    def __getitem__(self, rows: Any, /) -> FloatMatrix: ...  # noqa: D105
