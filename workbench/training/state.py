"""JobState: everything that a later training step depends on.

A checkpoint file holds one; a live session returns to one; a fork and a switch of the method start from one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from workbench.training.fit import Job


@dataclass(frozen=True)
class JobState:
    """The state of a job between two steps.

    lr: peak learning rate; parameters: of the loss, by name. tensors: the state dicts of both modules under
    `backbone.NAME` and `objective.NAME`, and under `momentum.I` the momentum buffer of parameter I of the optimizer.
    """

    step: int
    lr: float
    parameters: Mapping[str, Any]
    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, job: Job) -> "JobState":
        """The present state. Its tensors are those of the job, which the next step changes; see `copy`."""
        tensors = {f"backbone.{name}": value for name, value in job.backbone.state_dict().items()}
        tensors |= {f"objective.{name}": value for name, value in job.objective.state_dict().items()}
        for i, parameter in enumerate(optimizer_parameters(job)):
            buffer = job.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if buffer is not None:
                tensors[f"momentum.{i}"] = buffer
        return cls(job.step, job.lr, job.objective.parameters_now(), tensors)

    def copy(self) -> "JobState":
        """The same state with tensors of its own."""
        return replace(self, tensors={name: value.detach().clone() for name, value in self.tensors.items()})

    def part(self, owner: str) -> dict[str, Tensor]:
        """The tensors of `backbone`, `objective` or `momentum`, by their names in it."""
        return {n.removeprefix(f"{owner}."): v for n, v in self.tensors.items() if n.startswith(f"{owner}.")}

    def restore(self, job: Job) -> None:
        """Put this state into a job whose network and loss have these shapes."""
        job.objective.change(self.parameters)
        job.backbone.load_state_dict(self.part("backbone"))
        job.objective.load_state_dict(self.part("objective"))
        job.optimizer.state.clear()
        buffers = self.part("momentum")
        for i, parameter in enumerate(optimizer_parameters(job)):
            if str(i) in buffers:
                buffer = torch.empty_like(parameter).copy_(buffers[str(i)])
                job.optimizer.state[parameter]["momentum_buffer"] = buffer
        job.step, job.lr = self.step, self.lr


def optimizer_parameters(job: Job) -> list[nn.Parameter]:
    """The parameters of the optimizer, in its order."""
    return [parameter for group in job.optimizer.param_groups for parameter in group["params"]]
