"""LaTeX equations of the margins -> MathML, which a browser renders without a script."""

import re

from latex2mathml.converter import convert

SOFTMAX = r"L = -\log\frac{e^{sT}}{e^{sT} + \sum_{j \neq y} e^{sN_j}}"  # NPCFace Eq. 13

LETTERS = re.compile(r'<mrow>((?:<mi mathvariant="normal">\w</mi>){2,})</mrow>')
FUNCTION = re.compile(r"<mi>(cos|log)</mi>(?!<mo)")


def equation(latex: str) -> str:
    """One line as a <math> block. Words are joined to one element, and functions are spaced from their arguments."""
    mathml = convert(latex, display="block")
    mathml = LETTERS.sub(lambda match: f"<mtext>{re.sub('<[^>]*>', '', match[1])}</mtext>", mathml)
    return FUNCTION.sub(r'<mi>\1</mi><mspace width="0.17em"/>', mathml)
