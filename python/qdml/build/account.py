# SPDX-License-Identifier: MIT
"""The account of a dot's charge: what was cut, removed and added, and what each step carries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from qdml.build.capping import Placement
from qdml.build.charges import OXIDATION, total_oxidation
from qdml.build.materials import Material


@dataclass
class Account:
    """Steps in order, each with the formal charge it adds, e; a neutral dot sums to zero."""

    steps: list[dict] = field(default_factory=list)

    @property
    def charge(self) -> int:
        """Sum over the steps, e."""
        return sum(step["charge"] for step in self.steps)

    def start(self, symbols: Sequence[str], n_pruned: tuple[int, int], material: Material) -> None:
        """The pruned core, and how many atoms of the plain cut pruning left out."""
        text = f"core {_formula(Counter(symbols))}"
        elements = "/".join(s for s, _ in material.cations), "/".join(s for s, _ in material.anions)
        pruned = [f"{n} {name}" for n, name in zip(n_pruned, elements, strict=True) if n]
        if pruned:
            text += f" ({' and '.join(pruned)} with too few neighbours left out)"
        self.steps.append({"step": text, "charge": total_oxidation(symbols)})

    def remove(self, before: Sequence[str], after: Sequence[str]) -> None:
        """Core atoms taken away, one step per element."""
        for symbol, n in (Counter(before) - Counter(after)).items():
            charge = -n * OXIDATION[symbol]
            self.steps.append({"step": f"{n} {symbol} removed", "charge": charge})

    def add(self, placements: Sequence[Placement]) -> None:
        """Ligands, one step per kind."""
        for ligand, n in Counter(p.ligand for p in placements).items():
            step = {"step": f"{n} {ligand.name} added", "charge": n * ligand.charge}
            self.steps.append(step)

    def exchange(self, placements: Sequence[Placement], symbol: str) -> None:
        """Ligands that take the places of as many atoms `symbol` of the same charge."""
        n = len(placements)
        charge = -n * OXIDATION[symbol]
        self.steps.append({"step": f"{n} {symbol} removed for ligands", "charge": charge})
        self.add(placements)


def _formula(counts: Counter[str]) -> str:
    return "".join(f"{symbol}{n}" for symbol, n in counts.items())
