"""LaTeX lines, as the margins carry them, as MathML that a browser sets without any script."""

import re

from latex2mathml.converter import convert

SOFTMAX = r"L = -\log\frac{e^{sT}}{e^{sT} + \sum_{j \neq y} e^{sN_j}}"  # NPCFace Eq. 13

LETTERS = re.compile(r'<mrow>((?:<mi mathvariant="normal">\w</mi>){2,})</mrow>')
FUNCTION = re.compile(r"<mi>(cos|log)</mi>(?!<mo)")


def equation(latex: str) -> str:
    """One line as a <math> block. Words become whole again, and a function is set off from its argument as in print."""
    mathml = convert(latex, display="block")
    mathml = LETTERS.sub(lambda found: f"<mtext>{re.sub('<[^>]*>', '', found[1])}</mtext>", mathml)
    return FUNCTION.sub(r'<mi>\1</mi><mspace width="0.17em"/>', mathml)


def equations(lines: tuple[str, ...]) -> str:
    """Several lines below each other; a line that is too wide scrolls."""
    return f"<div class='equations'>{''.join(map(equation, lines))}</div>"
