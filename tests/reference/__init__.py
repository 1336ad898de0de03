"""Each loss as plain loops over `math`, written from the equations of the papers; no import of the workbench.

numbers: scalars with an optional derivative; margins: the logits of one sample; losses: the loss of a batch, the state
between batches, triplets.
"""

from reference.losses import *  # noqa: F403
from reference.margins import *  # noqa: F403
from reference.numbers import *  # noqa: F403
