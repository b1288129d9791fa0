# SPDX-License-Identifier: MIT
"""The data doctor: all checks of labelled frames, each PASS, WARN or FAIL with what to do."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from qdml.errors import CheckError, DataError

from qdml_train.doctor.energies import check_energies, check_free_energy, check_reference_rank
from qdml_train.doctor.finding import Finding
from qdml_train.doctor.forces import check_forces, check_frozen, check_net_force
from qdml_train.doctor.labels import (
    check_finite,
    check_labels,
    check_level_of_theory,
    check_precision,
    check_split,
)
from qdml_train.doctor.likeness import check_formal_charge, check_near_copies
from qdml_train.doctor.structures import check_distances, check_duplicates, check_fragments
from qdml_train.doctor.work import check_stress, check_work
from qdml_train.frames import Frame
from qdml_train.source import Source
from qdml_train.sources import read_source

CHECKS: tuple[Callable[[list[Frame]], list[Finding]], ...] = (
    check_level_of_theory,
    check_split,
    check_precision,
    check_duplicates,
    check_near_copies,
    check_formal_charge,
    check_distances,
    check_fragments,
    check_forces,
    check_frozen,
    check_net_force,
    check_work,
    check_stress,
    check_energies,
    check_free_energy,
    check_reference_rank,
)


def run_checks(frames: list[Frame], needs: Container[str] = ("energy", "forces")) -> list[Finding]:
    """All checks, in the order a reader wants them; `needs` are the labels the loss uses."""
    findings = check_labels(frames, needs) + check_finite(frames)
    if findings[-1].level == "FAIL":
        return findings  # the numbers below would be meaningless
    for check in CHECKS:
        findings += check(frames)
    return findings


def read_checked(sources: Iterable[Source]) -> tuple[list[Frame], list[Finding]]:
    """Frames of all sources that can be read, and a FAIL for each that cannot."""
    frames, findings = [], []
    for source in sources:
        try:
            frames += read_source(source)
        except DataError as error:
            findings.append(Finding("FAIL", "reading", str(error)))
    return frames, findings


def stop_on_failure(findings: list[Finding], accept: Iterable[str] = ()) -> None:
    """Raise CheckError with every FAIL that `accept` (names of checks) does not cover."""
    accepted = set(accept)
    failed = [f for f in findings if f.level == "FAIL" and f.check not in accepted]
    if failed:
        lines = "\n".join(f"FAIL {f.check}: {f.text}" for f in failed)
        raise CheckError(
            f"the data check failed; correct the data, or name the check in data.accept if it is "
            f"wrong about them:\n{lines}"
        )
