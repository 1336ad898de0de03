"""What `check_margin` says: a report for a notebook and for a terminal."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from workbench.curves.check.trials import Finding

MARKS = {"fine": "✓", "note": "•", "fault": "✗", "skipped": "–"}
COLOURS = {"fine": "#009E73", "note": "#0072B2", "fault": "#D55E00", "skipped": "#888888"}


@dataclass(frozen=True)
class Report:
    """What was checked of a margin, and what was found; shows itself in a notebook and in a terminal.

    laws: what was checked, by name; findings: faults and notes, in the order of the laws.
    """

    margin: str
    laws: Mapping[str, str]
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...] = ()  # laws that could not be looked at

    @property
    def ok(self) -> bool:
        """Whether there is no fault; notes are no faults."""
        return all(found.note for found in self.findings)

    def summary(self) -> dict[str, float]:
        """How many laws were checked, and how many faults and notes there are."""
        notes = sum(found.note for found in self.findings)
        checked = len(self.laws) - len(self.skipped)
        return {"checks": checked, "faults": len(self.findings) - notes, "notes": notes}

    def verdict(self) -> str:
        """The report in one line."""
        count = self.summary()
        told = ", ".join(f"{number} {kind[:-1] if number == 1 else kind}" for kind, number in count.items())
        return f"{self.margin} is {'sound' if self.ok else 'not sound'}: {told}."

    def shown(self) -> dict[str, str]:
        """The laws that were looked at, and in one line the others."""
        others = f"{len(self.skipped)} more could not be looked at before this is repaired"
        looked = {law: title for law, title in self.laws.items() if law not in self.skipped}
        return looked | ({self.skipped[0]: others} if self.skipped else {})

    def standing(self, law: str) -> str:
        """fine, note, fault or skipped."""
        if law in self.skipped:
            return "skipped"
        mine = [found.note for found in self.findings if found.law == law]
        return "fine" if not mine else "note" if all(mine) else "fault"

    def of(self, law: str) -> list[Finding]:
        """The findings of one law, by its name."""
        return [found for found in self.findings if found.law == law]

    def __repr__(self) -> str:
        lines = [self.verdict()]
        for law, title in self.shown().items():
            lines.append(f"{MARKS[self.standing(law)]} {title}")
            for found in self.of(law):
                lines.append(f"    {found.says}.")
                lines += [f"    at {found.where}"] if found.where else []
                lines += [f"      | {line}" for line in found.formula.splitlines()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = []
        for law, title in self.shown().items():
            standing = self.standing(law)
            told = "".join(found_html(found) for found in self.of(law))
            mark = f'<span style="color: {COLOURS[standing]}">{MARKS[standing]}</span>'
            rows.append(f"<div>{mark} {escape(title)}{told}</div>")
        return f"<div><strong>{escape(self.verdict())}</strong></div>{''.join(rows)}"


def found_html(found: Finding) -> str:
    """One finding as HTML: what, where, and the formula."""
    kind = "" if not found.note else "<em>Note.</em> "
    where = f"<div>at {escape(found.where)}</div>" if found.where else ""
    lines = (
        f'<pre style="margin: 0.2em 0 0.4em; font-family: monospace">{escape(found.formula)}</pre>'
        if found.formula
        else ""
    )
    return f'<div style="margin-left: 2em"><div>{kind}{escape(found.says)}.</div>{where}{lines}</div>'
