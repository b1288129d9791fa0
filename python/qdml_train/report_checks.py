# SPDX-License-Identifier: MIT
"""Findings of the data doctor on the terminal, as text and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from qdml_train.doctor.finding import Finding

COLOURS = {"PASS": "green", "WARN": "yellow", "FAIL": "bold red"}


def summary(findings: Iterable[Finding]) -> str:
    """How many findings of each level."""
    counts = Counter(f.level for f in findings)
    return f"{counts['PASS']} passed, {counts['WARN']} warnings, {counts['FAIL']} failed"


def print_findings(findings: list[Finding], console: Console, least: str = "PASS") -> None:
    """One line per finding of at least this level, and the summary."""
    order = list(COLOURS)
    for finding in findings:
        if order.index(finding.level) >= order.index(least):
            console.print(
                f"[{COLOURS[finding.level]}]{finding.level}[/] {finding.check}: "
                f"{escape(finding.text)}",
                highlight=False,
                soft_wrap=True,
            )
    console.print(f"data check: {summary(findings)}", highlight=False, soft_wrap=True)


def findings_text(findings: list[Finding]) -> str:
    """The same lines as a text file."""
    lines = [f"{f.level} {f.check}: {f.text}" for f in findings]
    return "\n".join([*lines, summary(findings)]) + "\n"


def findings_json(findings: list[Finding]) -> str:
    """A list of objects with level, check, message, fix and frames (file, index)."""
    content = [
        {
            "level": f.level,
            "check": f.check,
            "message": f.message,
            "fix": f.fix,
            "frames": [{"file": file, "index": index} for file, index in f.frames],
        }
        for f in findings
    ]
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
