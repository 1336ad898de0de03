"""A job in one file, so that it can stop anywhere and go on with the same bits: weights, momentum, parameters, step.

The file is safetensors with a JSON header: reading one from elsewhere runs nothing.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from workbench.errors import InputError
from workbench.record import write
from workbench.training.fit import Job


def save(job: Job, path: Path) -> None:
    """Write the job to `path`, whole or not at all."""
    tensors = {f"backbone.{name}": value for name, value in job.backbone.state_dict().items()}
    tensors |= {f"objective.{name}": value for name, value in job.objective.state_dict().items()}
    tensors |= {f"momentum.{i}": state["momentum_buffer"] for i, state in momenta(job).items()}
    header = {"step": job.step, "lr": job.lr, "parameters": job.objective.parameters_now()}
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write(path, lambda p: save_file(whole, p, metadata={"job": json.dumps(header)}))


def load(job: Job, path: Path) -> Job:
    """Put a fresh job (of the same configuration) where the saved one was. A file that does not fit changes nothing.

    Raises InputError naming the file if it is missing, damaged or of another network.
    """
    try:
        with safe_open(path, "pt") as file:
            header = json.loads(file.metadata()["job"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
        raise InputError(f"{path} is missing or damaged: {error}") from None
    parts = {name: part(tensors, name) for name in ("backbone", "objective", "momentum")}
    for owner, module in (("backbone", job.backbone), ("objective", job.objective)):
        wanted = {name: value.shape for name, value in module.state_dict().items()}
        if wanted != {name: value.shape for name, value in parts[owner].items()}:
            raise InputError(f"{path} holds another {owner} than this run's configuration asks for")
    job.objective.replace(**header["parameters"])
    job.backbone.load_state_dict(parts["backbone"])
    job.objective.load_state_dict(parts["objective"])
    owned = [parameter for group in job.optimiser.param_groups for parameter in group["params"]]
    for i, parameter in enumerate(owned):
        if str(i) in parts["momentum"]:
            buffer = torch.empty_like(parameter).copy_(parts["momentum"][str(i)])
            job.optimiser.state[parameter]["momentum_buffer"] = buffer
    job.step, job.lr = header["step"], header["lr"]
    return job


def momenta(job: Job) -> dict[int, dict[str, Tensor]]:
    """The optimiser's state by the position of its parameter; empty before the first step."""
    return {
        i: state for i, state in job.optimiser.state_dict()["state"].items() if state.get("momentum_buffer") is not None
    }


def part(tensors: dict[str, Tensor], owner: str) -> dict[str, Tensor]:
    """The tensors of one owner, without its name in front."""
    return {name.removeprefix(f"{owner}."): value for name, value in tensors.items() if name.startswith(f"{owner}.")}
