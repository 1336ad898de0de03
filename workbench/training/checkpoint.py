"""A job in one file, so that it can stop anywhere and go on with the same bits: weights, momentum, parameters, step.

The file is safetensors with a JSON header: reading one from elsewhere runs nothing. It does not depend on the number of
processes: the first one gathers what they have parts of, and each takes its part again.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.centers.sharded import ShardedCenters
from workbench.core.distributed import rank
from workbench.core.errors import InputError
from workbench.core.files import finite, write
from workbench.core.formats import CHECKPOINT
from workbench.core.schema import check
from workbench.networks import backbone
from workbench.training.config import Config
from workbench.training.fit import Job


def save(job: Job, path: Path) -> None:
    """Write the job to `path`, whole or not at all; every process takes part."""
    tensors = {f"backbone.{name}": value for name, value in job.backbone.state_dict().items()}
    tensors |= {f"objective.{name}": value for name, value in job.objective.state_dict().items()}
    tensors |= {f"momentum.{i}": state["momentum_buffer"] for i, state in momenta(job).items()}
    header = {"step": job.step, "lr": job.lr, "parameters": job.objective.parameters_now()}
    for name, place in split(job).items():
        if name in tensors:
            tensors[name] = job.objective.centers.collect(place, tensors[name])
    if rank() > 0:
        return
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write(path, lambda p: save_file(whole, p, metadata={"job": json.dumps(finite(header))}))


def load(job: Job, path: Path) -> Job:
    """Put a fresh job (of the same configuration) where the saved one was. A file that does not fit changes nothing.

    Raises InputError naming the file if it is missing, damaged or of another network.
    """
    places = split(job)
    try:
        with safe_open(path, "pt") as file:
            header = check(json.loads(file.metadata()["job"]), CHECKPOINT, str(path))
            check_shapes(job, file, places, path)
            tensors = {name: read(job, file, name, places.get(name)) for name in file.keys()}  # noqa: SIM118
    except InputError:
        raise
    except (OSError, SafetensorError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is missing or damaged: {error}") from None
    parts = {name: part(tensors, name) for name in ("backbone", "objective", "momentum")}
    job.objective.replace(**header["parameters"])
    job.backbone.load_state_dict(parts["backbone"])
    job.objective.load_state_dict(parts["objective"])
    for i, parameter in enumerate(owned(job)):
        if str(i) in parts["momentum"]:
            buffer = torch.empty_like(parameter).copy_(parts["momentum"][str(i)])
            job.optimiser.state[parameter]["momentum_buffer"] = buffer
    job.step, job.lr = header["step"], header["lr"]
    return job


def load_network(config: Config, size: int, path: Path) -> nn.Module:
    """The network of a saved job alone, for images of `size` px, on the CPU: no centers, no optimizer.

    Raises InputError naming the file if it is missing, damaged or of another network.
    """
    net = backbone(config.backbone, size, config.dim, config.seed, config.width)
    try:
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if name.startswith("backbone.")]  # noqa: SIM118
            tensors = {name.removeprefix("backbone."): file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is missing or damaged: {error}") from None
    if {name: t.shape for name, t in tensors.items()} != {name: t.shape for name, t in net.state_dict().items()}:
        raise InputError(f"{path} holds another backbone than this run's configuration asks for")
    net.load_state_dict(tensors)
    return net


def split(job: Job) -> dict[str, str]:
    """The entries of a checkpoint of which every process has a part, and what sharded centers call them."""
    centers = job.objective.centers
    if not isinstance(centers, ShardedCenters):
        return {}
    names = {id(parameter): name for name, parameter in centers.named_parameters()}
    moving = {f"momentum.{i}": names[id(parameter)] for i, parameter in enumerate(owned(job)) if id(parameter) in names}
    return {f"objective.centers.{name}": name for name in centers.state_dict()} | moving


def check_shapes(job: Job, file: Any, places: dict[str, str], path: Path) -> None:
    """InputError where a checkpoint is of another job; of what is large, only the parts of sharded centers are read."""

    def shape(name: str) -> list[int]:
        return list(read(job, file, name, places[name]).shape) if name in places else file.get_slice(name).get_shape()

    for owner, module in (("backbone", job.backbone), ("objective", job.objective)):
        wanted = {f"{owner}.{name}": list(value.shape) for name, value in module.state_dict().items()}
        if wanted != {name: shape(name) for name in file.keys() if name.startswith(f"{owner}.")}:  # noqa: SIM118
            raise InputError(f"{path} holds another {owner} than this run's configuration asks for")


def read(job: Job, file: Any, name: str, place: str | None) -> Tensor:
    """An entry of a checkpoint, or this process's part of it; place: what sharded centers call it, else None."""
    if place is None or not file.get_slice(name).get_shape():
        return file.get_tensor(name)
    return job.objective.centers.part(place, file.get_slice(name))


def owned(job: Job) -> list[nn.Parameter]:
    """The parameters of the optimiser, in its order."""
    return [parameter for group in job.optimiser.param_groups for parameter in group["params"]]


def momenta(job: Job) -> dict[int, dict[str, Tensor]]:
    """The optimiser's state by the position of its parameter; empty before the first step."""
    return {
        i: state for i, state in job.optimiser.state_dict()["state"].items() if state.get("momentum_buffer") is not None
    }


def part(tensors: dict[str, Tensor], owner: str) -> dict[str, Tensor]:
    """The tensors of one owner, without its name in front."""
    return {name.removeprefix(f"{owner}."): value for name, value in tensors.items() if name.startswith(f"{owner}.")}
