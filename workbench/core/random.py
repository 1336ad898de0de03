"""Own random generators: one independent stream per purpose, all derived from the run's one seed.

The global generators are never touched, so two runs in one process cannot disturb each other, and what one purpose
draws (the batches, say) does not move what another draws (the centers).
"""

from zlib import crc32

import numpy as np
import torch


def generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator for one purpose of a run ("centers", "weights", "batches", ...)."""
    state = np.random.SeedSequence([seed, crc32(purpose.encode())]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)  # manual_seed wants 63 bits
