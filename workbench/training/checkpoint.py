"""Checkpoints: the state of a job in one file, from which training continues bitwise identically.

The file is safetensors with a JSON header, so reading one executes nothing. It does not depend on the number of
processes: the first process gathers the shards of all, and each process loads its own shard.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.centers.sharded import ShardedCenters
from workbench.core.distributed import rank
from workbench.core.errors import InputError
from workbench.core.files import to_plain, write
from workbench.core.formats import CHECKPOINT
from workbench.core.schema import check
from workbench.networks import backbone
from workbench.training.config import Config
from workbench.training.fit import Job
from workbench.training.state import JobState, optimizer_parameters


def save(job: Job, path: Path) -> None:
    """Write a job's state to `path` atomically. Every process must call this; the first one writes."""
    state = JobState.of(job)
    tensors = dict(state.tensors)
    for name, own in sharded_names(job).items():
        if name in tensors:
            tensors[name] = job.objective.centers.collect(own, tensors[name])
    if rank() > 0:
        return
    header = {"step": state.step, "lr": state.lr, "parameters": state.parameters}
    arrays = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write(path, lambda p: save_file(arrays, p, metadata={"job": json.dumps(to_plain(header))}))


def load(job: Job, path: Path) -> Job:
    """Restore a job of the same configuration to a saved state. A file that does not fit changes nothing.

    Raises InputError naming the file if it is missing, damaged or of another network.
    """
    sharded = sharded_names(job)
    with open_checkpoint(path) as file:
        header = check(json.loads(file.metadata()["job"]), CHECKPOINT, str(path))
        check_shapes(job, file, sharded, path)
        tensors = {name: read(job, file, name, sharded.get(name)) for name in file.keys()}  # noqa: SIM118
    JobState(header["step"], header["lr"], header["parameters"], tensors).restore(job)
    return job


def load_network(config: Config, size: int, path: Path) -> nn.Module:
    """The network of a checkpoint, for images of `size` px, on the CPU; without centers and optimizer.

    Raises InputError naming the file if it is missing, damaged or of another network.
    """
    net = backbone(config.backbone, size, config.dim, config.seed, config.width)
    with open_checkpoint(path) as file:
        names = [name for name in file.keys() if name.startswith("backbone.")]  # noqa: SIM118
        tensors = {name.removeprefix("backbone."): file.get_tensor(name) for name in names}
    if {name: t.shape for name, t in tensors.items()} != {name: t.shape for name, t in net.state_dict().items()}:
        raise InputError(f"{path} holds another backbone than this run's configuration asks for")
    net.load_state_dict(tensors)
    return net


@contextmanager
def open_checkpoint(path: Path) -> Iterator[Any]:
    """Open a checkpoint for reading; InputError naming the file where it is missing or damaged."""
    try:
        with safe_open(path, "pt") as file:
            yield file
    except InputError:
        raise
    except (OSError, SafetensorError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is missing or damaged: {error}") from None


def sharded_names(job: Job) -> dict[str, str]:
    """For each tensor of a checkpoint that is sharded over the processes: its name within the sharded centers."""
    centers = job.objective.centers
    if not isinstance(centers, ShardedCenters):
        return {}
    names = {id(parameter): name for name, parameter in centers.named_parameters()}
    parameters = enumerate(optimizer_parameters(job))
    momentum = {f"momentum.{i}": names[id(parameter)] for i, parameter in parameters if id(parameter) in names}
    return {f"objective.centers.{name}": name for name in centers.state_dict()} | momentum


def check_shapes(job: Job, file: Any, sharded: dict[str, str], path: Path) -> None:
    """InputError where the file's tensors have other names or shapes than the job's. Reads only sharded tensors."""

    def shape(name: str) -> list[int]:
        if name in sharded:
            return list(read(job, file, name, sharded[name]).shape)
        return file.get_slice(name).get_shape()

    for owner, module in (("backbone", job.backbone), ("objective", job.objective)):
        expected = {f"{owner}.{name}": list(value.shape) for name, value in module.state_dict().items()}
        if expected != {name: shape(name) for name in file.keys() if name.startswith(f"{owner}.")}:  # noqa: SIM118
            raise InputError(f"{path} holds another {owner} than this run's configuration asks for")


def read(job: Job, file: Any, name: str, own: str | None) -> Tensor:
    """A tensor of a checkpoint; this process's shard where `own`, its name within sharded centers, is given."""
    if own is None or not file.get_slice(name).get_shape():
        return file.get_tensor(name)
    return job.objective.centers.part(own, file.get_slice(name))
