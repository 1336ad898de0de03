"""The report of `check_margin`, as text and as HTML."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from workbench.curves.check.trials import Finding

MARKS = {"fine": "✓", "note": "•", "fault": "✗", "skipped": "–"}
COLORS = {  # of JupyterLab's theme
    "fine": "var(--jp-success-color1)",
    "note": "var(--jp-info-color1)",
    "fault": "var(--jp-error-color1)",
    "skipped": "var(--jp-ui-font-color3)",
}


@dataclass(frozen=True)
class Report:
    """The result of `check_margin`; displays as text in a terminal and as HTML in a notebook.

    laws: {name: title} of the checks; findings: faults and notes, in the order of the checks; skipped: checks that an
    earlier fault made impossible.
    """

    margin: str
    laws: Mapping[str, str]
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no fault; notes do not count."""
        return all(finding.note for finding in self.findings)

    def summary(self) -> dict[str, float]:
        """The numbers of checks, faults and notes."""
        notes = sum(finding.note for finding in self.findings)
        return {
            "checks": len(self.laws) - len(self.skipped),
            "faults": len(self.findings) - notes,
            "notes": notes,
        }

    def verdict(self) -> str:
        """The report in one line."""
        counts = [f"{number} {kind[:-1] if number == 1 else kind}" for kind, number in self.summary().items()]
        return f"{self.margin} is {'sound' if self.ok else 'not sound'}: {', '.join(counts)}."

    def titles(self) -> dict[str, str]:
        """{name: title} of the checks that ran, and one line for all that were skipped."""
        titles = {law: title for law, title in self.laws.items() if law not in self.skipped}
        if self.skipped:
            titles[self.skipped[0]] = f"{len(self.skipped)} more checks are skipped until this is repaired"
        return titles

    def status(self, law: str) -> str:
        """fine, note, fault or skipped."""
        if law in self.skipped:
            return "skipped"
        notes = [finding.note for finding in self.of(law)]
        return "fine" if not notes else "note" if all(notes) else "fault"

    def of(self, law: str) -> list[Finding]:
        """The findings of one check."""
        return [finding for finding in self.findings if finding.law == law]

    def __repr__(self) -> str:
        lines = [self.verdict()]
        for law, title in self.titles().items():
            lines.append(f"{MARKS[self.status(law)]} {title}")
            for finding in self.of(law):
                lines.append(f"    {finding.message}.")
                lines += [f"    at {finding.where}"] if finding.where else []
                lines += [f"      | {line}" for line in finding.formula.splitlines()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [f"<div><strong>{escape(self.verdict())}</strong></div>"]
        for law, title in self.titles().items():
            status = self.status(law)
            mark = f'<span style="color: {COLORS[status]}">{MARKS[status]}</span>'
            rows.append(f"<div>{mark} {escape(title)}{''.join(map(finding_html, self.of(law)))}</div>")
        return "".join(rows)


def finding_html(finding: Finding) -> str:
    """A finding as HTML: message, place and formula."""
    note = "<em>Note.</em> " if finding.note else ""
    where = f"<div>at {escape(finding.where)}</div>" if finding.where else ""
    style = "margin: 0.2em 0 0.4em; font-family: monospace"
    lines = f'<pre style="{style}">{escape(finding.formula)}</pre>' if finding.formula else ""
    return f'<div style="margin-left: 2em"><div>{note}{escape(finding.message)}.</div>{where}{lines}</div>'
