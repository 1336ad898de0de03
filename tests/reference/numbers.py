"""Scalars with an optional derivative: the imaginary part of a complex number is the change of its real part.

A function evaluated at x + ih has f'(x) h as its imaginary part, exact to rounding for a tiny h (the complex step). So
a loss written once gives its gradient too, and `hold` is the stop-gradient: it drops the change. Decisions (which side
of a guard, which classes are hard) look at the value alone.
"""

import cmath
import math

STEP = 1e-30


def value(z):
    return z.real


hold = value  # without gradient, as in the paper or the code


def acos(c):
    if abs(c.real) >= 1:
        return math.acos(math.copysign(1.0, c.real))
    return cmath.acos(c) if isinstance(c, complex) else math.acos(c)


def cos(a):
    return cmath.cos(a) if isinstance(a, complex) else math.cos(a)


def sin(a):
    return cmath.sin(a) if isinstance(a, complex) else math.sin(a)


def exp(a):
    return cmath.exp(a) if isinstance(a, complex) else math.exp(a)


def log(a):
    return cmath.log(a) if isinstance(a, complex) else math.log(a)


def sqrt(a):
    return cmath.sqrt(a) if isinstance(a, complex) else math.sqrt(a)


def positive_part(a):
    return a if a.real > 0 else 0.0 * a


def clip(a, low, high):
    return low if a.real < low else high if a.real > high else a


def softplus(a):
    """log(1 + e^a)."""
    return a + log(1 + exp(-a)) if a.real > 0 else log(1 + exp(a))


def logsumexp(values):
    top = max(v.real for v in values)
    return top + log(sum(exp(v - top) for v in values))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def length(v):
    return sqrt(sum(a * a for a in v))


def unit(v):
    n = length(v)
    return [a / n for a in v]


def dot(u, v):
    return sum(a * b for a, b in zip(u, v, strict=True))


def squared_distance(u, v):
    return sum((a - b) * (a - b) for a, b in zip(u, v, strict=True))


def cosine_table(x, W):
    return [[dot(u, w) / (length(u) * length(w)) for w in W] for u in x]


def gradient(f, x):
    """The derivative of a scalar function of a list of lists by each entry, by the complex step."""
    out = []
    for i, row in enumerate(x):
        out.append([])
        for j in range(len(row)):
            moved = [list(r) for r in x]
            moved[i][j] = complex(moved[i][j], STEP)
            out[-1].append(complex(f(moved)).imag / STEP)
    return out


def differences(f, x, h=1e-5):
    """The same by central differences of fourth order: slower, less exact, without `hold` and complex numbers."""
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
