"""Shared helpers of the tests of methods: a batch and an objective, and their parameters for the plain loops."""

import dataclasses
import itertools
import warnings

import numpy as np
import reference
import torch

from workbench.core.geometry import ADDITIVE_GUARDS
from workbench.methods import METHODS, build

CLASSIFIERS = [name for name in METHODS if name != "triplet"]  # triplet has no logits: see losses/test_losses.py
STATE = {"t": 0.3, "lam": 5.0, "mu": 20.0, "sigma": 10.0, "s": 7.0, "step": 300.0}  # a state as during training
LENGTHS = torch.tensor([50.0, 5.0, 120.0, 30.0, 15.0, 90.0, 60.0])  # embedding norms of the methods that use them
SIZES = {"B": 6, "C": 9, "D": 5}
SMALL = {"B": 3, "C": 4, "D": 3}


def presets():
    return [(name, {"preset": preset}) for name in CLASSIFIERS for preset in METHODS[name].presets]


def choices():
    """Every option of every method with each of its values: guards, gradients, hard sets, forms, rules."""
    out = []
    for name in CLASSIFIERS:
        for field, p in METHODS[name].parameters().items():
            for value in p.choices:
                if name == "mv_am" and field == "guard" and value not in ADDITIVE_GUARDS:
                    continue
                out.append((name, {field: value} | ({"topk": 2} if value == "topk" else {})))
    masks = ("misclassified", "soft", "topk", "all", "boundary")
    for coeffs, mask, product in itertools.product(("paper", "closed", "literal"), masks, ("cosθ·I", "I")):
        out.append(("recurricularface", {"coeffs": coeffs, "mask": mask, "product": product, "topk": 2}))
    out += [(name, {"decay": 10}) for name in ("sphereface", "uniformface")]  # small lambda: psi has its largest weight
    out.append(("arcnegface", {"smoothing": 0.1}))
    out.append(("uniface", {"lam": 0.3}))
    out.append(("mv_arc", {"form": "fixed", "mask": "soft"}))
    out.append(("combined", {"m3": 0.0, "form": "insightface"}))
    out.append(("combined", {"m1": 1.5, "m2": 0.3, "m3": 0.2}))
    return out


def parameter_id(value):
    return "-".join(map(str, value.values())) if isinstance(value, dict) else str(value)


def build_quietly(name, classes, dim, **parameters):
    """`build` without the warning of MagFace about lam_g, which has its own test."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="MagFace: lam_g")
        return build(name, classes, dim, **parameters)


def relative(a, b):
    """The largest absolute difference, relative to the largest absolute entry of b."""
    a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    assert a.shape == b.shape
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-300))


def set_state(obj, **state):
    with torch.no_grad():
        for name, value in state.items():
            if hasattr(obj, f"state_{name}"):
                obj.get_buffer(f"state_{name}").copy_(torch.as_tensor(value))
    return obj


def case(name, B=6, C=9, D=5, seed=3, dtype=torch.float64, **parameters):
    """(obj, x, y): embeddings near and far from their centers, so that hard and easy negatives and all guards occur.

    The random numbers are drawn in float32 for every dtype; the state is a state as during training.
    """
    g = torch.Generator().manual_seed(seed)
    obj = build_quietly(name, C, D, **parameters).to(dtype)
    W = torch.randn(obj.centers.weight.shape, generator=g)
    y = torch.randint(0, C, (B,), generator=g)
    towards = torch.linspace(2.0, -1.5, B).roll(1)  # not sorted, so that a permutation error is detected
    x = towards[:, None] * W[y * (len(W) // C)] + 0.6 * torch.randn(B, D, generator=g)
    if name in ("magface", "adaface"):
        x = x * (LENGTHS.repeat(-(-B // len(LENGTHS)))[:B, None] / x.norm(dim=1, keepdim=True))
    with torch.no_grad():
        obj.centers.weight.copy_(W)
        if obj.centers.bias is not None:
            obj.centers.bias.copy_(0.3 * torch.randn(C, generator=g))
    means = {"means": 0.5 * torch.randn(C, D, generator=g)}
    return set_state(obj, **(STATE | means)), x.to(dtype), y


def numbers(tensor):
    return tensor.detach().double().tolist()


def view(obj, name, x, y):
    """Parameters, state and learned tensors in the form of the plain loops (see reference/margins.py)."""
    p = obj.parameters_now() | {f"state_{key}": numbers(value) for key, value in obj.state.items()}
    if "means" in obj.state:
        p["state_c"] = numbers(obj.state["means"])
    if obj.centers.bias is not None:
        p["bias"] = numbers(obj.centers.bias)
    if name == "adaptiveface":
        p["class_m"] = numbers(obj.learned["m"])
    if name == "uniface":
        p["b"] = numbers(obj.learned["b"])
    if name.startswith("elasticface"):
        p["eps"] = elastic_eps(obj, len(x))
    return p


def elastic_eps(obj, n):
    """The eps of ElasticFace for each sample, before they are assigned by `plus`."""
    plain = dataclasses.replace(obj.margin, plus="none")
    pos = torch.zeros(n, 1, dtype=torch.float64)
    return plain.context(pos, pos + 1, None, {}, obj.state).eps.flatten().double().tolist()


def take_step(name, **settings):
    """(obj, x, y, p, loss) after one step. The loops compute the term of UniformFace from the means before the step."""
    obj, x, y = case(name, **settings)
    before = obj.state.get("means")
    x.requires_grad_(True)
    loss = obj.step(x, y)
    p = view(obj, name, x, y)
    if name == "uniformface":
        p["state_c"] = numbers(before)
    return obj, x, y, p, loss


def total(name, obj, x, y, p):
    """The loss of the batch, computed by the plain loops."""
    return reference.total(name, numbers(x), y.tolist(), numbers(obj.centers.weight), p)


def per_sample(name, obj, x, y, p):
    rows = reference.table(name, numbers(x), numbers(obj.centers.weight), p)
    return reference.per_sample(name, rows, [reference.length(u) for u in numbers(x)], y.tolist(), p)


def gradients(name, obj, x, y, p):
    """Gradients of the loss with respect to x, centers and learned tensors, computed by the plain loops."""
    xs, W, y = numbers(x), numbers(obj.centers.weight), y.tolist()
    out = {
        "x": reference.gradient(lambda v: reference.total(name, v, y, W, p), xs),
        "W": reference.gradient(lambda v: reference.total(name, xs, y, v, p), W),
    }
    for key in ("bias", "class_m", "b"):
        if key in p:
            listed = p[key] if isinstance(p[key], list) else [p[key]]

            def loss_at(v, key=key):
                return reference.total(name, xs, y, W, p | {key: v[0] if isinstance(p[key], list) else v[0][0]})

            out[key] = reference.gradient(loss_at, [listed])[0]
    return out


def autograd(name, obj, x):
    """The same gradients, from autograd after `backward`."""
    grads = {"x": x.grad, "W": obj.centers.weight.grad}
    if obj.centers.bias is not None:
        grads["bias"] = obj.centers.bias.grad
    if name == "adaptiveface":
        grads["class_m"] = obj.learned["m"].grad
    if name == "uniface":
        grads["b"] = obj.learned["b"].grad[None]
    return grads


def random_cosines(samples=60, classes=7, seed=0):
    """Cosines (samples, classes) and labels (samples,) at random."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (samples, classes)), rng.integers(0, classes, samples)
