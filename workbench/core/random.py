"""Random generators: one independent stream per purpose, all derived from the seed of the run.

The global generators are not used: runs in the same process do not affect each other, and the number of values drawn
for one purpose (such as batches) does not affect another (such as centers).
"""

from zlib import crc32

import numpy as np
import torch


def generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator for one purpose of a run ("centers", "weights", "batches", ...)."""
    state = np.random.SeedSequence([seed, crc32(purpose.encode())]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)  # manual_seed takes 63 bits
