"""The source of a margin's formula, for error messages that quote it.

A margin may be written in a notebook cell. A mistake in it is reported as one line that quotes the formula, without a
traceback through the workbench.
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
    """An error in a margin's formula, as one line with the cause and the formula."""


def formula(margin: Margin, method: str) -> str:
    """The source of the body of a margin's method, without its docstring; '' if there is no source."""
    try:
        source = textwrap.dedent(inspect.getsource(getattr(type(margin), method)))
    except (OSError, TypeError):  # defined in a console, or compiled
        return ""
    body = ast.parse(source).body[0].body
    first = body[1] if ast.get_docstring(ast.parse(source).body[0]) and len(body) > 1 else body[0]
    lines = source.splitlines()[first.lineno - 1 : body[-1].end_lineno]
    return textwrap.dedent("\n".join([" " * first.col_offset + lines[0].lstrip(), *lines[1:]]))


def evaluate(margin: Margin, method: str, c: Tensor, *rest: Any) -> Tensor:
    """margin.method(c, *rest) for method hard, N or T, of the shape of c; c itself is unchanged.

    Raises FormulaError if the formula fails, returns another shape or changes its cosines in place.
    """
    if torch.compiler.is_compiling():  # tracing checks shapes itself
        return getattr(margin, method)(c, *rest)
    version = None if c.is_inference() else c._version
    try:
        result = getattr(margin, method)(c, *rest)
    except Exception as error:
        raise formula_error(margin, error) from error
    if version is not None and c._version != version:
        fault = "changes its cosines in place; write a new tensor"
    elif not isinstance(result, Tensor):
        fault = f"returns {type(result).__name__}, not a tensor"
    elif result.shape != c.shape:
        fault = f"returns shape {tuple(result.shape)}, its cosines have {tuple(c.shape)}"
    else:
        return result
    lines = formula(margin, method).splitlines()
    raise FormulaError(f"{type(margin).__name__}.{method} {fault}" + (f", in `{lines[-1].strip()}`" if lines else ""))


def formula_error(margin: Margin, error: Exception) -> InputError:
    """A FormulaError that quotes the line of the margin's class where `error` was raised; an InputError unchanged."""
    if isinstance(error, InputError):
        return error
    cause = " ".join(f"{type(error).__name__}: {error}".split())
    methods = {code: name for cls in type(margin).__mro__ for code, name in method_codes(cls)}
    frame, last = error.__traceback__, None
    while frame is not None:
        if frame.tb_frame.f_code in methods:
            last = frame
        frame = frame.tb_next
    if last is None:
        return FormulaError(f"{type(margin).__name__}: {cause}")
    code = last.tb_frame.f_code
    line = linecache.getline(code.co_filename, last.tb_lineno).strip()
    return FormulaError(f"{type(margin).__name__}.{methods[code]}: {cause}" + (f", in `{line}`" if line else ""))


def method_codes(cls: type) -> list[tuple[CodeType, str]]:
    """Code objects and names of the methods that a class itself defines."""
    functions = ((name, getattr(value, "fget", None) or value) for name, value in vars(cls).items())
    return [(f.__code__, name) for name, f in functions if inspect.isfunction(f)]
