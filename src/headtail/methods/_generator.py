"""Seeds of all draws: from what scikit-learn takes to what torch takes."""

from typing import Any

import torch
from sklearn.utils import check_random_state

__all__ = ["new_generator"]


def new_generator(random_state: Any) -> torch.Generator:
    """Return a generator seeded by what scikit-learn takes as a random state."""
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    return torch.Generator().manual_seed(seed)
