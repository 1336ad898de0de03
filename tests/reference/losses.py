"""From embeddings x and centers W (lists of lists) to the loss of a batch, term by term; the state between batches.

p holds parameters and state as in margins.py, what the optimizer owns, `class_m` (AdaptiveFace, one a class), `bias`
(softmax, one a class) and `b` (UniFace), and `eps` (ElasticFace's draw, one a sample). Complex numbers pass through.
"""

import math

from reference.margins import LOGITS, elastic_margins
from reference.numbers import (
    acos,
    clip,
    cosine_table,
    dot,
    exp,
    hold,
    length,
    logsumexp,
    mean,
    positive_part,
    softplus,
    sqrt,
    squared_distance,
    unit,
)

DOT = ("softmax", "center_loss")  # logits w.x + b of the raw embedding, no scale
SCALED_BY_NORM = ("sphereface", "uniformface")  # s = |x|, with its gradient, unless p["by"] fixes it
SCALED_BY_STATE = ("adacos", "adacos_fixed")


def table(name, x, W, p):
    """The similarities (B, C) of a method: cosines, w.x + b, or the largest cosine of the K sub-centers of a class."""
    if name in DOT:
        return [[dot(u, w) + b for w, b in zip(W, p["bias"], strict=True)] for u in x]
    if name == "subcenter_arcface":  # W: C x K sub-centers, class by class
        K = int(p["K"])
        rows = cosine_table(x, W)
        return [[max(row[j : j + K], key=hold) for j in range(0, len(row), K)] for row in rows]
    return cosine_table(x, W)


def logits_of(name, rows, norms, y, p):
    """The logits (B, C) before scale from the table of `table` and the embeddings' lengths."""
    own = [row[label] for row, label in zip(rows, y, strict=True)]
    eps = elastic_margins(p["eps"], own, p["plus"]) if "eps" in p else [None] * len(rows)
    return [
        LOGITS[name](row, label, p | {"norm": norm, "eps": e})
        for row, label, norm, e in zip(rows, y, norms, eps, strict=True)
    ]


def scales(name, norms, p):
    if name in SCALED_BY_NORM and p.get("by", "length") == "length":
        return norms
    s = 1.0 if name in DOT else p["state_s"] if name in SCALED_BY_STATE else p["s"]
    return [s] * len(norms)


def per_sample(name, rows, norms, y, p):
    """The loss of each sample before weighting."""
    out = []
    for f, s, label in zip(logits_of(name, rows, norms, y, p), scales(name, norms, p), y, strict=True):
        z = [s * v for v in f]
        if name == "uniface":
            top = s if p["exponents"] == "clipped" else math.inf  # the released code clamps them to +-s
            e = [clip(v - p["b"], -top, top) for v in z]
            others = sum(softplus(v) for j, v in enumerate(e) if j != label)
            out.append(softplus(-e[label]) + p["lam"] * others)
            continue
        total = logsumexp(z)
        smoothing = p.get("smoothing", 0.0)
        out.append((1 - smoothing) * (total - z[label]) + smoothing * mean(total - v for v in z))
    return out


def weighted(name, losses, p):
    """The loss of the batch: the mean, the mean of the largest, or a focal mean of the samples' losses."""
    if name == "hm_softmax":
        kept = (math.ceil if p["rounding"] == "up" else int)(p["keep"] * len(losses))
        return mean(sorted(losses, key=hold, reverse=True)[:kept])
    if name == "focal_softmax" and p.get("p", "sample") == "batch":  # face.evoLVe: p of the batch's mean loss
        return (1 - exp(-mean(losses))) ** p["gamma"] * mean(losses)
    if name == "focal_softmax":
        return mean((1 - exp(-v)) ** p["gamma"] * v for v in losses)
    return mean(losses)


def terms(name, x, y, p):
    """The terms that the method adds to the loss of the batch, by name."""
    if name == "adaptiveface":
        return {"penalty": -p["lam"] * mean(p["class_m"])}
    if name == "magface":
        a = [clip(length(u), p["l_a"], p["u_a"]) for u in x]
        return {"penalty": p["lam_g"] * mean(v / p["u_a"] ** 2 + 1 / v for v in a)}
    if name == "center_loss":
        return {"center": p["lam"] / 2 * mean(squared_distance(u, p["state_c"][j]) for u, j in zip(x, y, strict=True))}
    if name == "uniformface":
        c = [unit(v) for v in update_means(p["state_c"], [unit(u) for u in x], y, p["alpha"])]
        pairs = [(j, k) for j in range(len(c)) for k in range(len(c)) if j != k]
        return {"uniform": p["lam_u"] * mean(1 / (sqrt(squared_distance(c[j], c[k])) + 1) for j, k in pairs)}
    return {}


def update_means(c, x, y, alpha):
    """c_j - alpha sum_{y_i = j} (c_j - x_i) / (1 + n_j): Center loss, Eq. 4."""
    out = []
    for j, center in enumerate(c):
        own = [u for u, label in zip(x, y, strict=True) if label == j]
        out.append([a - alpha * sum(a - u[d] for u in own) / (1 + len(own)) for d, a in enumerate(center)])
    return out


def total(name, x, y, W, p):
    """The total loss, which training differentiates."""
    norms = [length(u) for u in x]
    losses = per_sample(name, table(name, x, W, p), norms, y, p)
    return weighted(name, losses, p) + sum(terms(name, x, y, p).values())


# --- state between batches ---


def adacos_scale(cos, y, s):
    """ln B_avg / cos(min(pi/4, theta_med)); the median of an even number of samples is the lower one."""
    samples = list(zip(cos, y, strict=True))
    B_avg = mean(sum(math.exp(s * c) for j, c in enumerate(row) if j != label) for row, label in samples)
    theta = sorted(acos(row[label]) for row, label in samples)[(len(y) - 1) // 2]
    return math.log(B_avg) / math.cos(min(math.pi / 4, theta))


def sphereface_lam(step, p):
    return max(p["lam_min"], p["lam_base"] * (1 + p["decay"] * step) ** -p["power"])


def adaface_statistics(norms, mu, sigma, momentum):
    """Moving mean and standard deviation of the clipped norms; a batch of one sample does not change sigma."""
    norms = [min(max(n, 1e-3), 100.0) for n in norms]
    center = mean(norms)
    mu = (1 - momentum) * mu + momentum * center
    if len(norms) > 1:
        spread = math.sqrt(sum((n - center) ** 2 for n in norms) / (len(norms) - 1))
        sigma = (1 - momentum) * sigma + momentum * spread
    return mu, sigma


# --- triplets ---


def triplet(x, y, alpha, mining, distance="squared", pairs="ordered"):
    """FaceNet Eq. 3: the mean over the mined triplets of [d(a, p) - d(a, n) + alpha]_+, d between unit vectors.

    pairs="combinations": FaceX-Zoo's itertools.combinations of a class's samples: the earlier one is the anchor.
    """
    u = [unit(v) for v in x]
    n = range(len(u))
    d = [[squared_distance(u[a], u[b]) if a != b else 0.0 for b in n] for a in n]
    if distance == "euclidean":
        d = [[sqrt(d[a][b]) if a != b else 0.0 for b in n] for a in n]
    hinges = []
    for a in n:
        positives = [d[a][k] for k in n if (k > a if pairs == "combinations" else k != a) and y[k] == y[a]]
        negatives = [d[a][k] for k in n if y[k] != y[a]]
        if mining == "hard" and positives and negatives:
            hinges.append(positive_part(max(positives, key=hold) - min(negatives, key=hold) + alpha))
        for d_ap in positives if mining != "hard" else ():
            past = [d_an for d_an in negatives if hold(d_ap) - hold(d_an) + alpha > 0]
            if mining == "semi-hard":
                farther = [d_an for d_an in past if hold(d_an) > hold(d_ap)]
                past = [min(farther, key=hold)] if farther else []
            hinges += [d_ap - d_an + alpha for d_an in past]
    return mean(hinges) if hinges else 0.0
