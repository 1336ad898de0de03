"""Each loss as a plain double loop over `math`, written from the papers' equations. Imports nothing of the workbench.

logits(name, cos, y, p) -> list of rows: T in the target column, N elsewhere, before scale. p holds the parameters by
their paper names, and the state (t) where there is one. loss(...) is the softmax over them, per sample.
"""

import math


def angle(c):
    return math.acos(max(-1.0, min(1.0, c)))


def guarded(value, c, m, guard):
    past = angle(c) + m >= math.pi
    if guard == "mm":
        return c - m * math.sin(m) if past else value
    if guard == "plain":
        return c if past else value
    if guard == "easy":
        return value if c > 0 else c
    if guard == "gtm":
        return value if c > m else c
    if guard == "clip":
        return math.cos(min(max(angle(c) + m, 1e-3), math.pi - 1e-3))
    return value


def target(c, m, p, angular=True):
    value = math.cos(angle(c) + m) if angular else c - m
    return guarded(value, c, m, p.get("guard", "wrap"))


def norm_softmax(row, y, p):
    return list(row)


def cosface(row, y, p):
    return [target(c, p["m"], p, angular=False) if j == y else c for j, c in enumerate(row)]


def arcface(row, y, p):
    return [target(c, p["m"], p) if j == y else c for j, c in enumerate(row)]


def mv(row, y, p):
    angular = p["positive"] == "arc"
    threshold = math.cos(angle(row[y]) + p["m"]) if angular else row[y] - p["m"]
    out = []
    for j, c in enumerate(row):
        if j == y:
            out.append(target(c, p["m"], p, angular))
        elif c > threshold:
            out.append(p["t"] * c + p["t"] - 1 if p["form"] == "adaptive" else c + p["t"] - 1)
        else:
            out.append(c)
    return out


def curricularface(row, y, p):
    out = []
    for j, c in enumerate(row):
        if j == y:
            out.append(target(c, p["m"], p))
        else:
            out.append(c * (p["state_t"] + c) if c > math.cos(angle(row[y]) + p["m"]) else c)
    return out


def recurricularface(row, y, p):
    a, b = (p["E"] - p["m"]) / 2, (p["E"] + p["m"]) / 2
    k, alpha = {
        "paper": (p["k"], p["alpha"]),
        "closed": (1 / math.cos(a), 1 - math.cos(b) / math.cos(a)),
        "literal": (1 / math.cos(a), (1 - a) * b),
    }[p["coeffs"]]
    threshold = {"misclassified": math.cos(angle(row[y]) + p["m"]), "all": -9.0, "boundary": math.cos(a)}[p["mask"]]
    out = []
    for j, c in enumerate(row):
        I = k * c + alpha * p["state_t"]
        if j == y:
            out.append(target(c, p["m"], p))
        elif c > threshold:
            out.append(c * I if p["product"] == "cosθ·I" else I)
        else:
            out.append(c)
    return out


def npcface(row, y, p):
    threshold = math.cos(angle(row[y]) + p["m_mask"])
    hard = [c for j, c in enumerate(row) if j != y and c > threshold]
    m_tilde = p["m0"] + p["m1"] * (sum(hard) / len(hard) if hard else 0.0)
    out = []
    for j, c in enumerate(row):
        if j == y:
            out.append(target(c, m_tilde, p))
        else:
            out.append(p["t"] * c + p["alpha"] if c > threshold else c)
    return out


LOGITS = {
    "norm_softmax": norm_softmax,
    "cosface": cosface,
    "arcface": arcface,
    "mv_am": mv,
    "mv_arc": mv,
    "curricularface": curricularface,
    "recurricularface": recurricularface,
    "npcface": npcface,
}


def cosine_table(x, W):
    def length(v):
        return math.sqrt(sum(a * a for a in v))

    return [[sum(a * b for a, b in zip(u, w, strict=True)) / (length(u) * length(w)) for w in W] for u in x]


def logits(name, cos, y, p):
    return [LOGITS[name](row, label, p) for row, label in zip(cos, y, strict=True)]


def loss(name, x, y, W, p):
    """The per-sample losses -log(e^{s f_y} / sum_k e^{s f_k}), from embeddings and centers as lists of lists."""
    out = []
    for row, label in zip(logits(name, cosine_table(x, W), y, p), y, strict=True):
        top = max(row)
        total = sum(math.exp(p["s"] * (f - top)) for f in row)
        out.append(math.log(total) - p["s"] * (row[label] - top))
    return out


def gradient(f, x, h=1e-5):
    """Central differences of a scalar function of a list of lists, fourth order."""
    out = []
    for i, row in enumerate(x):
        out.append([])
        for j in range(len(row)):

            def at(delta, i=i, j=j):
                moved = [list(r) for r in x]
                moved[i][j] += delta
                return f(moved)

            out[-1].append((8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h))
    return out
