"""The logits of one sample, before scale: T in the target column, N elsewhere. One function a method.

f(row, y, p): row holds the sample's cosines, y its class, p the parameters by their papers' names, the state under
`state_<name>`, and what belongs to the sample: `norm` (the embedding's length) and `eps` (ElasticFace's drawn margin).
"""

import math

from reference.numbers import acos, clip, cos, exp, hold, positive_part, sin


def apply_guard(T, c, m, guard, width=1e-3):
    past = acos(c).real + m.real >= math.pi
    if guard == "mm":
        return c - m * sin(m) if past else T
    if guard == "plain":
        return c if past else T
    if guard == "easy":
        return T if c.real > 0 else c
    if guard == "gtm":
        return T if c.real > m.real else c
    if guard == "clip":
        return cos(clip(acos(c) + m, width, math.pi - width))
    assert guard == "wrap", guard
    return T


def target(T, c, m, p):
    """The target logit with guard, with its exact gradient or that of the cosine."""
    T = apply_guard(T, c, m, p.get("guard", "wrap"), p.get("clip", 1e-3))
    return c + hold(T - c) if p.get("grad", "exact") == "detached" else T


def hardness(row, y, p, tau):
    """M_j of every class by the definition p["mask"], 0 in the target column; without gradient."""
    tau, row = hold(tau), [hold(c) for c in row]
    rule = p.get("mask", "misclassified")
    if rule == "topk":
        largest = sorted((j for j in range(len(row)) if j != y), key=lambda j: -row[j])[: int(p["topk"])]
        M = [float(j in largest) for j in range(len(row))]
    elif rule == "soft":
        M = [max(0.0, c - tau) / (1 - tau) for c in row]
    elif rule == "all":
        M = [1.0] * len(row)
    else:
        M = [float(c > tau) for c in row]
    return [0.0 if j == y else m for j, m in enumerate(M)]


def mixed(row, y, T, M, hard_form):
    """N = (1 - M) cos + M hard_form(cos) in the other columns."""
    return [T if j == y else (1 - M[j]) * c + M[j] * hard_form(c) for j, c in enumerate(row)]


def clipped_columns(method):
    """AdaFace's released heads, guard = clip: every cosine is held inside +-(1 - clip) before anything else."""

    def clipped(row, y, p):
        if p.get("guard") == "clip":
            row = [clip(c, p["clip"] - 1, 1 - p["clip"]) for c in row]
        return method(row, y, p)

    return clipped


def other_columns_unchanged(T):
    def method(row, y, p):
        return [T(c, y, p) if j == y else c for j, c in enumerate(row)]

    return method


@other_columns_unchanged
def norm_softmax(c, y, p):
    return c


@other_columns_unchanged
def cosface(c, y, p):
    return target(c - p["m"], c, p["m"], p)


@clipped_columns
@other_columns_unchanged
def arcface(c, y, p):
    return target(cos(acos(c) + p["m"]), c, p["m"], p)


def psi(c, m):
    """(-1)^k cos(m theta) - 2k with k = floor(m theta / pi): monotone over [0, pi] for every real m >= 1."""
    k = math.floor(m * acos(c).real / math.pi)
    return (-1) ** k * cos(m * acos(c)) - 2 * k


@other_columns_unchanged
def sphereface(c, y, p):
    return (p["state_lam"] * c + psi(c, p["m"])) / (1 + p["state_lam"])


@other_columns_unchanged
def sphereface_r(c, y, p):
    return target(psi(c, p["m"]), c, 0.0, p)


@other_columns_unchanged
def combined(c, y, p):
    if p["form"] == "insightface":  # its torch code: cos - m3 if m3 > 0, m1 and m2 are then not used
        return target(c - p["m3"] if p["m3"] > 0 else cos(acos(c) + p["m2"]), c, 0.0, p)
    return target(cos(p["m1"] * acos(c) + p["m2"]) - p["m3"], c, 0.0, p)


@other_columns_unchanged
def adaptiveface(c, y, p):
    return c - p["class_m"][y]


@other_columns_unchanged
def magface(c, y, p):
    a = clip(p["norm"], p["l_a"], p["u_a"])
    m = p["l_m"] + (p["u_m"] - p["l_m"]) * (a - p["l_a"]) / (p["u_a"] - p["l_a"])
    return target(cos(acos(c) + m), c, m, p)


@clipped_columns
@other_columns_unchanged
def adaface(c, y, p):
    norm = hold(clip(p["norm"], 1e-3, 100.0))
    z = max(-1.0, min(1.0, p["h"] * (norm - p["state_mu"]) / (p["state_sigma"] + 1e-3)))
    return target(cos(acos(c) - p["m"] * z), c, -p["m"] * z, p) - (p["m"] + p["m"] * z)


@other_columns_unchanged
def elasticface_arc(c, y, p):
    return target(cos(acos(c) + p["eps"]), c, p["eps"], p)


@other_columns_unchanged
def elasticface_cos(c, y, p):
    return target(c - p["eps"], c, p["eps"], p)


def elastic_margins(eps, target_cosines, plus):
    """The random margin of each sample: in any order, the largest for the farthest sample, or in the code's order."""
    if plus == "none":
        return list(eps)
    ascending = sorted(eps)
    nearest_first = sorted(range(len(eps)), key=lambda i: -hold(target_cosines[i]))
    if plus == "repo":  # ranks are used as sample indices: the inverse permutation
        return [ascending[nearest_first[i]] for i in range(len(eps))]
    out = [0.0] * len(eps)
    for rank, sample in enumerate(nearest_first):
        out[sample] = ascending[rank]
    return out


def circle(row, y, p):
    m = p["m"]
    return [
        hold(positive_part(1 + m - c)) * (c - (1 - m)) if j == y else hold(positive_part(c + m)) * (c - m)
        for j, c in enumerate(row)
    ]


def arcnegface(row, y, p):
    T = target(cos(acos(row[y]) + p["m"]), row[y], p["m"], p)
    out = []
    for j, c in enumerate(row):
        t = p["alpha"] * exp(-((hold(c) - hold(T)) ** 2) / p["sigma"])
        out.append(T if j == y else t * c + t - 1)
    return out


def mv(row, y, p):
    angular = p["positive"] == "arc"
    margined = cos(acos(row[y]) + p["m"]) if angular else row[y] - p["m"]
    slope = p["t"] if p["form"] == "adaptive" else 1.0
    M = hardness(row, y, p, margined)
    return mixed(row, y, target(margined, row[y], p["m"], p), M, lambda c: slope * c + p["t"] - 1)


def curricularface(row, y, p):
    margined = cos(acos(row[y]) + p["m"])
    M = hardness(row, y, p, margined)
    return mixed(row, y, target(margined, row[y], p["m"], p), M, lambda c: c * (p["state_t"] + c))


def recurricularface(row, y, p):
    E = p["E"] if p.get("E_rule", "fixed") == "fixed" else p["state_E"]
    a, b = (E - p["m"]) / 2, (E + p["m"]) / 2
    k, alpha = {
        "paper": (p["k"], p["alpha"]),
        "closed": (1 / math.cos(a), 1 - math.cos(b) / math.cos(a)),
        "literal": (1 / math.cos(a), (1 - a) * b),
    }[p["coeffs"]]
    margined = cos(acos(row[y]) + p["m"])
    M = hardness(row, y, p, math.cos(a) if p["mask"] == "boundary" else margined)

    def hard_form(c):
        I = k * c + alpha * p["state_t"]
        return c * I if p["product"] == "cosθ·I" else I

    return mixed(row, y, target(margined, row[y], p["m"], p), M, hard_form)


def npcface(row, y, p):
    M = hardness(row, y, p, cos(acos(row[y]) + p["m_mask"]))
    mean_hard = sum(w * hold(c) for w, c in zip(M, row, strict=True)) / sum(M) if sum(M) else 0.0
    m_tilde = p["m0"] + p["m1"] * mean_hard
    T = target(cos(acos(row[y]) + m_tilde), row[y], m_tilde, p)
    return mixed(row, y, T, M, lambda c: p["t"] * c + p["alpha"])


LOGITS = {
    "softmax": norm_softmax,  # with w.x + b instead of cosines
    "norm_softmax": norm_softmax,
    "sphereface": sphereface,
    "sphereface_r": sphereface_r,
    "cosface": cosface,
    "arcface": arcface,
    "combined": combined,
    "adaptiveface": adaptiveface,
    "adacos": norm_softmax,
    "adacos_fixed": norm_softmax,
    "mv_am": mv,
    "mv_arc": mv,
    "arcnegface": arcnegface,
    "curricularface": curricularface,
    "recurricularface": recurricularface,
    "npcface": npcface,
    "hm_softmax": norm_softmax,
    "focal_softmax": arcface,
    "center_loss": norm_softmax,
    "uniformface": sphereface,
    "circle": circle,
    "magface": magface,
    "adaface": adaface,
    "elasticface_arc": elasticface_arc,
    "elasticface_cos": elasticface_cos,
    "subcenter_arcface": arcface,
    "uniface": cosface,
}
