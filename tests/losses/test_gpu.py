"""On a CUDA device: the same losses as on the CPU, training through the same code, faults that are still named."""

import math

import pytest
import torch
from training.test_training import settings as tiny
from trainings import noisy_images as images

from workbench.methods import METHODS, build
from workbench.training import checkpoint
from workbench.training.fit import Job, TrainingFault, fit

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this computer"),
]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_and_gradients_equal_those_on_the_cpu(name, dtype):
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(64, 32, generator=g, dtype=dtype), torch.randint(0, 500, (64,), generator=g)
    grads = []
    for where in ("cpu", "cuda"):
        obj = build(name, 500, 32, s=16).to(where, dtype)
        v = x.to(where, copy=True).requires_grad_(True)
        loss = obj.step(v, y.to(where))
        loss.total.backward()
        grads.append((loss.per_sample.detach().cpu(), v.grad.cpu(), obj.centers.weight.grad.cpu()))
    tolerance = 1e-10 if dtype == torch.float64 else 2e-5
    for cpu, cuda in zip(*grads, strict=True):
        assert float((cpu - cuda).abs().max() / cpu.abs().max()) < tolerance


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_under_bf16_autocast(name):
    x, y = images(n=240)
    job = Job.start(tiny(method=name, device="auto", steps=60, batch=32, lr=0.05), 6, 16)
    assert job.device.type == "cuda"
    losses = [step.loss for step in fit(job, x, y)]
    assert all(math.isfinite(loss) for loss in losses)
    assert sum(losses[-5:]) < sum(losses[:5])
    assert all(p.dtype == torch.float32 for p in job.backbone.parameters())


def test_margin_arithmetic_stays_in_float32_under_autocast():
    obj = build("npcface", 50, 16).cuda()
    x, y = torch.randn(8, 16, device="cuda"), torch.arange(8, device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert obj.loss(x, y).per_sample.dtype == torch.float32
        assert obj.margin_logits(x, y).dtype == torch.float32


def test_nan_is_named_before_it_spreads():
    x, y = images()
    job = Job.start(tiny(device="cuda"), 6, 16)
    with torch.no_grad():
        job.objective.centers.weight[2].fill_(float("nan"))
    with pytest.raises(TrainingFault, match=r"step 0: .*'centers\.weight' of the objective"):
        list(fit(job, x, y))


def test_a_checkpoint_moves_between_devices(tmp_path):
    x, y = images()
    job = Job.start(tiny(device="cuda", steps=3), 6, 16)
    list(fit(job, x, y))
    checkpoint.save(job, tmp_path / "job.safetensors")
    moved = checkpoint.load(Job.start(tiny(device="cpu", steps=3), 6, 16), tmp_path / "job.safetensors")
    assert torch.equal(moved.objective.centers.weight, job.objective.centers.weight.cpu())
    assert moved.step == 3
