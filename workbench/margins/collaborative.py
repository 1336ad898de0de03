"""Margins that couple the positive logit and the negative logits of each sample: NPCFace."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from workbench.core.geometry import add_angle
from workbench.core.parameters import param
from workbench.margins.base import Context, HardSet, State, mask_param, topk_param
from workbench.margins.positive import angular, grad_param, guard_param


@dataclass(frozen=True)
class NPCFace(HardSet):
    """Emphasizes hard negatives, and increases the positive margin of samples with close hard negatives.

    M_ij    = [cos(theta_j) > cos(theta_y + m_mask)]                        misclassified, as in MV-softmax
    N       = (1 - M_ij) cos(theta_j) + M_ij (t cos(theta_j) + alpha)       (NPCFace Eq. 10)
    m_tilde = m0 + m1 mean_{M_ij = 1} cos(theta_j),  m0 if no M_ij is 1     (Eq. 11)
    T       = cos(theta_y + m_tilde)                                        (Eq. 12)

    Gradient: M_ij and m_tilde are constants (paper silent; FaceX-Zoo the same).
    Reduces to: ArcFace(m = m0) at m1 = 0, t = 1, alpha = 0; the ablation of Table II at m1 = 0 (negative part only)
    and at t = 1, alpha = 0 (positive part only).
    Follows / differs: paper silent on the guard (wrap), on the margin of the mask (m_mask = 0.5) and on s (64);
    FaceX-Zoo's code has alpha = 0.20 and guard="easy".
    """

    latex: ClassVar[tuple[str, ...]] = (
        r"M_{ij} = [\cos\theta_j > \cos(\theta_y + m_{\mathrm{mask}})]",
        r"N = (1 - M_{ij})\cos\theta_j + M_{ij}\,(t\cos\theta_j + \alpha)",
        r"\tilde m = m_0 + m_1 \frac{\sum_j M_{ij}\cos\theta_j}{\sum_j M_{ij}}",
        r"T = \cos(\theta_y + \tilde m)",
    )
    m0: float = param(0.40, "m₀", "margin of every sample", unit="rad", low=0.0, high=1.5, neutral=0.0)
    m1: float = param(
        0.20, "m₁", "margin added per unit of the mean hard cosine", unit="rad", low=0.0, high=1.0, neutral=0.0
    )
    t: float = param(1.10, "t", "factor on the cosine of a hard negative", low=0.5, high=2.0, neutral=1.0)
    alpha: float = param(0.25, "α", "cosine added to a hard negative", low=0.0, high=1.0, neutral=0.0)
    m_mask: float = param(0.50, "m_mask", "margin of the hard-negative mask", unit="rad", low=0.0, high=1.5)
    mask: str = mask_param()
    topk: float = topk_param()
    guard: str = guard_param()
    grad: str = grad_param()

    def context(self, pos: Tensor, norm: Tensor, y: Tensor, params: dict[str, Tensor], state: State) -> Context:
        return Context(tau=add_angle(pos.detach(), self.m_mask))

    def N(self, c: Tensor, ctx: Context) -> Tensor:
        return self.split(c, self.t * c + self.alpha, ctx)  # Eq. 10

    def T(self, c: Tensor, ctx: Context, rows: Any) -> Tensor:
        m_tilde = self.m0 + self.m1 * rows.hard_mean  # Eq. 11
        return angular(c, m_tilde, self.guard, self.grad)  # Eq. 12
