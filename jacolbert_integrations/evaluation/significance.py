"""How sure a figure is, and whether two differ by more than chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, permutation_test

from ..errors import InputError

RESAMPLES = 9_999
_AT_ONCE = 256


def confidence_interval(
    values: NDArray[np.float64], *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Computes a bootstrap interval of a mean over queries (percentiles of resampled means, by scipy).

    Args:
        values: (queries,) of one measure.
        level: How often, over samples of such queries, the interval holds the mean.
        resamples: How many samples are drawn.
        seed: Decides them.

    Raises:
        InputError: If there are no values, or ``level`` is not between 0 and 1.
    """
    if not len(values) or not 0 < level < 1:
        raise InputError(f"an interval needs values and a level between 0 and 1; got {len(values)} and {level}.")
    if len(values) == 1 or np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        batch=_AT_ONCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def randomization_test(
    values: NDArray[np.float64], others: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0
) -> float:
    """Computes how likely so great a difference of two means is by chance: the paired randomisation test, two-sided.

    Of each query, the values of the two systems change places by chance (Fisher's; Smucker et al., CIKM 2007).

    Args:
        values: (queries,) of one system.
        others: (queries,) of the other, for the same queries.
        resamples: How often places are changed; with few queries, every way of doing it is counted once.
        seed: Decides how.

    Returns:
        The p value: 1 if the two are equal.

    Raises:
        InputError: If the two are not of the same queries.
    """
    if values.shape != others.shape or not len(values):
        raise InputError(f"a paired test needs values of the same queries; got {values.shape} and {others.shape}.")
    differences = values - others
    differences = differences[differences != 0]  # the others change no mean, whatever their sign, and most are such
    if len(differences) < 2:  # of one, either sign is as great
        return 1.0
    found = permutation_test(
        (differences,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=_AT_ONCE,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
