"""Each loss as plain double loops over `math`, written from the papers' equations. Imports nothing of the workbench.

numbers: scalars that may carry a derivative; margins: the logits of one sample; losses: from embeddings to the number
that training differentiates, what moves between batches, triplets.
"""

from reference.losses import *  # noqa: F403
from reference.margins import *  # noqa: F403
from reference.numbers import *  # noqa: F403
