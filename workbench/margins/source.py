"""A margin's formula in words: the source of its methods, and errors that show the line a person wrote.

A margin may come from a notebook cell. A slip in it should read as one line with the formula, not as a traceback
through the workbench.
"""

import ast
import inspect
import linecache
import textwrap
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.margins.base import Margin


class FormulaError(InputError):
    """A margin's own formula fails: one line with what happened and the formula."""


def formula(margin: Margin, method: str) -> str:
    """The body of a margin's method as it was written, without its docstring; '' where there is no source."""
    try:
        source = textwrap.dedent(inspect.getsource(getattr(type(margin), method)))
    except (OSError, TypeError):  # written in a console, or compiled
        return ""
    body = ast.parse(source).body[0].body
    first = body[1] if ast.get_docstring(ast.parse(source).body[0]) and len(body) > 1 else body[0]
    lines = source.splitlines()[first.lineno - 1 : body[-1].end_lineno]
    return textwrap.dedent("\n".join([" " * first.col_offset + lines[0].lstrip(), *lines[1:]]))


def called(margin: Margin, method: str, c: Tensor, *rest: Any) -> Tensor:
    """margin.method(c, *rest) for method hard, N or T: of the shape of c, which is left as it is.

    Raises FormulaError where the formula fails, returns another shape or changes its cosines in place.
    """
    if torch.compiler.is_compiling():  # tracing checks shapes itself
        return getattr(margin, method)(c, *rest)
    version = None if c.is_inference() else c._version
    try:
        made = getattr(margin, method)(c, *rest)
    except Exception as error:
        raise explained(margin, error) from error
    name = f"{type(margin).__name__}.{method}"
    if version is not None and c._version != version:
        raise FormulaError(f"{name} changes its cosines in place; write a new tensor{quoted(margin, method)}")
    if not isinstance(made, Tensor):
        raise FormulaError(f"{name} returns {type(made).__name__}, not a tensor{quoted(margin, method)}")
    if made.shape != c.shape:
        shapes = f"shape {tuple(made.shape)}, its cosines have {tuple(c.shape)}"
        raise FormulaError(f"{name} returns {shapes}{quoted(margin, method)}")
    return made


def explained(margin: Margin, error: Exception) -> InputError:
    """The error of a margin's formula as one line that quotes the person's own line; an InputError as it is."""
    if isinstance(error, InputError):
        return error
    says = " ".join(f"{type(error).__name__}: {error}".split())
    owned = {code: name for cls in type(margin).__mro__ for code, name in codes(cls)}
    frame, found = error.__traceback__, None
    while frame is not None:
        if frame.tb_frame.f_code in owned:
            found = frame
        frame = frame.tb_next
    if found is None:
        return FormulaError(f"{type(margin).__name__}: {says}")
    code = found.tb_frame.f_code
    line = linecache.getline(code.co_filename, found.tb_lineno).strip()
    return FormulaError(f"{type(margin).__name__}.{owned[code]}: {says}" + (f", in `{line}`" if line else ""))


def codes(cls: type) -> list[tuple[CodeType, str]]:
    """The code objects and names of the methods that a class defines itself."""
    functions = ((name, getattr(value, "fget", None) or value) for name, value in vars(cls).items())
    return [(f.__code__, name) for name, f in functions if inspect.isfunction(f)]


def quoted(margin: Margin, method: str) -> str:
    """', in `return ...`': the last line of a method, for the end of a message; '' where there is no source."""
    lines = formula(margin, method).splitlines()
    return f", in `{lines[-1].strip()}`" if lines else ""
