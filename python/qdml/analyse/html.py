# SPDX-License-Identifier: MIT
"""Pieces of the page: escaped text, tables, figures as embedded SVG, the page around them."""

from __future__ import annotations

import base64
import html
import io
from importlib import resources
from string import Template
from typing import Any

from matplotlib.figure import Figure

# without a date the same numbers give the same bytes
FIGURE_METADATA = {"Date": None, "Creator": None}

UNBROKEN = 32
"""Table entries up to this length are kept on one line."""


def text(value: Any) -> str:
    """Escape a value for HTML; None becomes a dash."""
    return "–" if value is None else html.escape(str(value))


def number(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant digits, never in exponent form below a million."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        shown = f"{value:.{digits}g}"
        return f"{float(shown):,.0f}" if "e" in shown else shown
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa} × 10^{int(exponent)}"


def number_html(value: float | None, digits: int = 3) -> str:
    """`number` with the exponent raised."""
    shown = text(number(value, digits))
    if "^" in shown:
        mantissa, exponent = shown.split("^")
        shown = f"{mantissa}<sup>{exponent.replace('-', '−')}</sup>"
    return shown.replace("-", "−") if shown != "–" else shown


def table(head: list[str], rows: list[list[Any]], caption: str = "") -> str:
    """A table; floats are rounded to three digits and set right-aligned, text is escaped."""
    cells = []
    for row in rows:
        line = []
        for value in row:
            if isinstance(value, float):
                line.append(f'<td class="n">{number_html(value)}</td>')
            elif isinstance(value, int):
                line.append(f'<td class="n">{value:,}</td>')
            else:
                short = isinstance(value, str) and len(value) <= UNBROKEN
                line.append(
                    f'<td class="k">{text(value)}</td>' if short else f"<td>{text(value)}</td>"
                )
        cells.append("<tr>" + "".join(line) + "</tr>")
    numeric = [any(isinstance(row[k], int | float) for row in rows) for k in range(len(head))]
    top = "".join(
        f'<th class="n">{text(name)}</th>' if is_number else f"<th>{text(name)}</th>"
        for name, is_number in zip(head, numeric, strict=True)
    )
    title = f"<caption>{text(caption)}</caption>" if caption else ""
    body = "".join(cells)
    return (
        f'<div class="wide"><table>{title}<thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def paragraph(content: str, kind: str = "") -> str:
    """One paragraph of plain text; kind 'missing', 'note' or ''."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{text(content)}</p>"


def figure(drawing: Figure, caption: str) -> str:
    """Embed a matplotlib figure as SVG with its caption (also its alternative text)."""
    stream = io.BytesIO()
    drawing.savefig(stream, format="svg", metadata=FIGURE_METADATA, dpi=200)
    data = base64.b64encode(stream.getvalue()).decode()
    return (
        f'<figure><img alt="{html.escape(caption, quote=True)}" '
        f'src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def page(title: str, summary: str, sections: list[tuple[str, str]], footer: str) -> str:
    """The whole document: summary block, contents line, numbered sections, footer."""
    folder = resources.files("qdml.analyse")
    template = Template(folder.joinpath("page.html").read_text(encoding="utf-8"))
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    links = " · ".join(
        f'<a href="#s{k}">{k} {text(name)}</a>' for k, (name, _) in enumerate(sections, start=1)
    )
    body = "\n".join(
        f'<section id="s{k}"><h2>{k} {text(name)}</h2>\n{content}</section>'
        for k, (name, content) in enumerate(sections, start=1)
    )
    return template.substitute(
        title=text(title), style=style, summary=summary, links=links, body=body, footer=footer
    )
