"""Margins in the negative logits, each with a positive margin too: MVSoftmax, ArcNegFace, Circle, CurricularFace,
ReCurricularFace.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.core.geometry import ADDITIVE_GUARDS, add_angle, cos_sin, expected_angle, nearest_center_angles
from workbench.core.parameters import Param, param
from workbench.margins.base import Context, HardSet, Margin, State, mask_param, topk_param
from workbench.margins.positive import additive, angular, grad_param, guard_param


@dataclass(frozen=True)
class MVSoftmax(HardSet):
    """Emphasizes hard negatives: centers to which a sample is misclassified after the margin.

    T    = cos(theta_y) - m  (positive="am")   or   cos(theta_y + m)  (positive="arc")
    M_ij = [cos(theta_j) > T]
    N    = cos(theta_j)                        where M_ij = 0
    N    = t cos(theta_j) + t - 1              where M_ij = 1, form="adaptive"      (NPCFace Eq. 8)
    N    = cos(theta_j) + t - 1                where M_ij = 1, form="fixed"

    Gradient: M_ij is a constant; T and N are differentiated exactly.
    Reduces to: CosFace or ArcFace at t = 1.
    Follows / differs: the authors' parameter is t - 1 (their 0.2 is t = 1.2); their code drops the margin past 90
    degrees (guard="easy") and computes the mask from the unguarded T; FaceX-Zoo's AM form drops the margin where
    cos(theta_y) <= m (guard="gtm").
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"T = \cos\theta_y - m \;(\mathrm{am}) \quad\mathrm{or}\quad \cos(\theta_y + m) \;(\mathrm{arc})",
        r"M_{ij} = [\cos\theta_j > T]",
        r"N = t\cos\theta_j + t - 1 \;(\mathrm{adaptive}) \quad\mathrm{or}\quad"
        r" \cos\theta_j + t - 1 \;(\mathrm{fixed}) \quad\mathrm{where}\; M_{ij} = 1",
        r"N = \cos\theta_j \quad\mathrm{where}\; M_{ij} = 0",
    )
    m: float = param(
        0.35,
        "m",
        "margin of the target: of the cosine (am) or of the angle in rad (arc)",
        low=0.0,
        high=1.5,
        neutral=0.0,
    )
    t: float = param(
        1.20, "t", "factor on the cosine of a hard negative; t − 1 is added to it", low=1.0, high=2.0, neutral=1.0
    )
    positive: str = param("am", "positive", "margin of the positive logit", choices=("am", "arc"))
    form: str = param(
        "adaptive", "form", "hard negatives: scaled and shifted, or shifted only", choices=("adaptive", "fixed")
    )
    mask: str = mask_param()
    topk: float = topk_param()
    guard: str = guard_param()
    grad: str = grad_param()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positive == "am" and self.guard not in ADDITIVE_GUARDS:
            known = ", ".join(ADDITIVE_GUARDS)
            raise InputError(f"MVSoftmax: guard = '{self.guard}' needs positive = 'arc'; with 'am' one of {known}")

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        pos = pos.detach()
        return Context(tau=pos - self.m if self.positive == "am" else add_angle(pos, self.m))

    def N(self, c: Tensor, ctx: Context) -> Tensor:
        slope = self.t if self.form == "adaptive" else 1.0
        return self.split(c, slope * c + (self.t - 1), ctx)

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        margined = additive if self.positive == "am" else angular
        return margined(c, self.m, self.guard, self.grad)


@dataclass(frozen=True)
class ArcNegFace(Margin):
    """Weights each negative by its distance to the target logit; distant negatives contribute little.

    T   = cos(theta_y + m)
    t_j = alpha exp(-(cos(theta_j) - T)^2 / sigma)
    N   = t_j cos(theta_j) + t_j - 1                                             (ArcNegFace, Liu et al. 2019)

    Gradient: t_j is a constant; T is differentiated exactly.
    Reduces to: ArcFace at alpha = 1 and sigma -> infinity.
    Follows / differs: sigma = 2 of the code is the divisor, 2 sigma^2 of the paper at sigma = 1. Paper silent on the
    guard (wrap); the code has mm. The paper also trains with label smoothing (`smoothing` of the criterion, 0 here as
    in the code).
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"T = \cos(\theta_y + m)",
        r"t_j = \alpha\, e^{-(\cos\theta_j - T)^2 / \sigma}",
        r"N = t_j\cos\theta_j + t_j - 1",
    )
    m: float = param(0.5, "m", "margin added to the target angle", unit="rad", low=0.0, high=1.5, neutral=0.0)
    alpha: float = param(1.2, "α", "largest weight of a negative", low=0.5, high=2.0)
    sigma: float = param(
        2.0, "σ", "width of the weight around T (divisor of the squared distance)", low=0.05, high=20.0
    )
    guard: str = guard_param()
    grad: str = grad_param()

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        return Context(T=angular(pos.detach(), self.m, self.guard, self.grad))

    def N(self, c: Tensor, ctx: Context) -> Tensor:
        t = self.alpha * ((c.detach() - ctx.T).square() / -self.sigma).exp()
        return t * (c + 1) - 1

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return angular(c, self.m, self.guard, self.grad)


@dataclass(frozen=True)
class Circle(Margin):
    """Weights each cosine by its distance to its optimum.

    T = [1 + m - cos(theta_y)]_+ (cos(theta_y) - (1 - m))                  (Circle loss, Sun et al., Eq. 6-8)
    N = [cos(theta_j) + m]_+ (cos(theta_j) - m);  gamma is the scale s

    Gradient: the weights [.]_+ are constants.
    Reduces to: no other method; the order of the logits is that of NormSoftmax where both weights are equal.
    Follows / differs: the classification form, as FaceX-Zoo (m = 0.25, gamma = 256); PML has the pair form.
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"T = [1 + m - \cos\theta_y]_+\,(\cos\theta_y - (1 - m))",
        r"N = [\cos\theta_j + m]_+\,(\cos\theta_j - m)",
    )
    m: float = param(0.25, "m", "relaxation: optima are 1 + m and −m, boundaries 1 − m and m", low=0.0, high=1.0)

    def N(self, c: Tensor, ctx: Context) -> Tensor:
        return (c.detach() + self.m).clamp_min(0) * (c - self.m)

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return (1 + self.m - c.detach()).clamp_min(0) * (c - (1 - self.m))


@dataclass(frozen=True)
class CurricularFace(HardSet):
    """Emphasizes hard negatives little at first, and more as training progresses.

    T    = cos(theta_y + m)
    M_ij = [cos(theta_j) > cos(theta_y + m)]
    N    = cos(theta_j) (t + cos(theta_j))  where M_ij = 1,  cos(theta_j) elsewhere       (CurricularFace Eq. 5)
    t   <- (1 - momentum) t + momentum mean(cos(theta_y)),  before the batch uses it      (Eq. 8)

    Gradient: M_ij and t are constants; both factors of N are differentiated.
    Reduces to: ArcFace without hard negatives. (At t = 0 hard negatives are weakened: 0.5 becomes 0.25.)
    Follows / differs: the paper's alpha = 0.99 is taken as the weight of the old t, as in the authors' code (momentum
    0.01; TFace has 0.1). The paper has the sum of the batch's cosines, the code the mean. The code guards T with mm,
    but not the mask.
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"T = \cos(\theta_y + m)",
        r"M_{ij} = [\cos\theta_j > \cos(\theta_y + m)]",
        r"N = \cos\theta_j\,(t + \cos\theta_j) \quad\mathrm{where}\; M_{ij} = 1",
        r"N = \cos\theta_j \quad\mathrm{where}\; M_{ij} = 0",
        r"t \leftarrow (1 - \mathrm{momentum})\,t + \mathrm{momentum}\cdot\mathrm{mean}_i \cos\theta_{y_i}",
    )
    states: ClassVar[dict[str, Param]] = {
        "t": Param("t", "progress of the curriculum: moving average of cos θ_y", low=-1.0, high=1.0)
    }
    m: float = param(0.5, "m", "margin added to the target angle", unit="rad", low=0.0, high=1.5, neutral=0.0)
    momentum: float = param(0.01, "momentum", "weight of the new batch in t", low=0.0, high=1.0)
    mask: str = mask_param()
    topk: float = topk_param()
    guard: str = guard_param()
    grad: str = grad_param()

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        return Context(tau=add_angle(pos.detach(), self.m), t=state["t"])

    def N(self, c: Tensor, ctx: Context) -> Tensor:
        return self.split(c, c * (ctx.t + c), ctx)

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return angular(c, self.m, self.guard, self.grad)

    def observe(self, pos: Tensor, norm: Tensor, W: Tensor, state: State) -> State:
        return {"t": (1 - self.momentum) * state["t"] + self.momentum * pos.mean()}

    def reads_centers(self, state: State) -> bool:
        return False


@dataclass(frozen=True)
class ReCurricularFace(HardSet):
    """Emphasizes hard negatives such that the boundary shrinks to the ideal boundary during training, never below it.

    T    = cos(theta_y + m)
    I    = k cos(theta_j) + alpha t                                              (ReCurricularFace Eq. 6)
    N    = cos(theta_j) I  where M_ij = 1,  cos(theta_j) elsewhere               (Eq. 1 with CurricularFace's mask)
    k    = 1 / cos a,  alpha = 1 - cos b / cos a        (coeffs="closed"; a = (E - m) / 2, b = (E + m) / 2)

    Gradient: M_ij, t and E are constants; both factors of N are differentiated.
    Reduces to: CurricularFace at k = 1, alpha = 1 (with t clipped to [0, 1]); ArcFace without hard negatives.
    Follows / differs: the paper has k = 1.1, alpha = 0.4 (coeffs="paper"), which are the rounded values of "closed" at
    a center angle E of 80 degrees and m = 0.5; its Eq. 5 in radians gives alpha = 0.52 ("literal"). Paper silent on
    the mask, on the update of t (CurricularFace's average here, clipped to [0, 1]), on s and on the guard (mm).
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"T = \cos(\theta_y + m)",
        r"M_{ij} = [\cos\theta_j > \cos(\theta_y + m)]",
        r"I = k\cos\theta_j + \alpha t",
        r"N = \cos\theta_j\, I \quad\mathrm{where}\; M_{ij} = 1",
        r"N = \cos\theta_j \quad\mathrm{where}\; M_{ij} = 0",
        r"k = \frac{1}{\cos\frac{E-m}{2}},\quad"
        r" \alpha = 1 - \frac{\cos\frac{E+m}{2}}{\cos\frac{E-m}{2}} \;(\mathrm{closed})",
    )
    states: ClassVar[dict[str, Param]] = {
        "t": Param("t", "progress of the curriculum, 0 to 1", low=0.0, high=1.0),
        "E": Param("E", "angle between neighboring centers in the closed coefficients", unit="rad", low=0.0, high=3.1),
        "step": Param("step", "observed batches", low=0.0),
    }
    m: float = param(0.5, "m", "margin added to the target angle", unit="rad", low=0.0, high=1.5, neutral=0.0)
    k: float = param(1.1, "k", "slope of I (coeffs = paper)", low=0.5, high=2.0)
    alpha: float = param(0.4, "α", "weight of t in I (coeffs = paper)", low=0.0, high=1.0)
    product: str = param("cosθ·I", "product", "N of a hard negative: cos θ_j · I, or I alone", choices=("cosθ·I", "I"))
    mask: str = mask_param("all", "boundary")  # all negatives; or those inside the ideal boundary, cos(theta_j) > cos a
    topk: float = topk_param()
    coeffs: str = param("paper", "coeffs", "source of k and α", choices=("paper", "closed", "literal"))
    E: float = param(math.radians(80), "E", "angle between neighboring centers", unit="rad", low=0.6, high=1.6)
    E_rule: str = param("fixed", "E rule", "E: fixed, by Eq. 2, or measured", choices=("fixed", "eq2", "measured"))
    t_rule: str = param(
        "ema", "t rule", "update of t: moving average, linear to 1, none", choices=("ema", "linear", "fixed")
    )
    momentum: float = param(0.01, "momentum", "weight of the new batch in t", low=0.0, high=1.0)
    t_steps: float = param(1000, "t steps", "batches until t = 1 (t rule = linear)", low=1, high=1e7)
    t_clip: bool = param(True, "t clip", "keep t inside [0, 1]", choices=(True, False))
    guard: str = guard_param("mm")
    grad: str = grad_param()

    MEASURE_EVERY: ClassVar[int] = 100  # batches between two measurements of E, which compute C x C cosines

    def init(self, classes: int, dim: int, seed: int = 0) -> State:
        E = expected_angle(classes, dim) if self.E_rule == "eq2" else self.E
        return {"t": torch.zeros(()), "E": torch.tensor(E), "step": torch.zeros(())}

    def coefficients(self, E: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
        """k and alpha of Eq. (6) for an angle E in rad between neighboring centers."""
        if self.coeffs == "paper":
            return self.k, self.alpha
        a, b = (E - self.m) / 2, (E + self.m) / 2
        cos_a, cos_b = cos_sin(a)[0], cos_sin(b)[0]
        return 1 / cos_a, 1 - cos_b / cos_a if self.coeffs == "closed" else (1 - a) * b

    def threshold(self, pos: Tensor, E: float | Tensor) -> Tensor:
        """tau (B, 1): a non-target cosine above it is hard."""
        if self.mask == "all":
            return torch.full_like(pos, -2.0)  # below every cosine
        if self.mask == "boundary":
            return torch.zeros_like(pos) + cos_sin((E - self.m) / 2)[0]  # cos a
        return add_angle(pos, self.m)

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        E = self.E if self.E_rule == "fixed" else state["E"]
        k, alpha = self.coefficients(E)
        return Context(tau=self.threshold(pos.detach(), E), k=k, alpha=alpha, t=state["t"])

    def N(self, c: Tensor, ctx: Context) -> Tensor:
        I = ctx.k * c + ctx.alpha * ctx.t  # Eq. 6
        return self.split(c, c * I if self.product == "cosθ·I" else I, ctx)

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        return angular(c, self.m, self.guard, self.grad)

    def observe(self, pos: Tensor, norm: Tensor, W: Tensor, state: State) -> State:
        t, E, step = state["t"], state["E"], state["step"]
        if self.t_rule == "ema":
            t = (1 - self.momentum) * t + self.momentum * pos.mean()
        elif self.t_rule == "linear":
            t = (step + 1) / self.t_steps
        if self.t_clip:
            t = t.clamp(0, 1)
        if self.E_rule == "eq2":
            E = torch.tensor(expected_angle(*W.shape))
        elif self.reads_centers(state):
            E = nearest_center_angles(W).mean()
        return {"t": t, "E": E, "step": step + 1}

    def reads_centers(self, state: State) -> bool:
        return self.E_rule == "measured" and bool(state["step"] % self.MEASURE_EVERY == 0)
