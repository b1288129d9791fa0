# SPDX-License-Identifier: MIT
"""Read sources of frames: extended xyz, databases, CP2K, VASP and whatever else ASE reads."""

from __future__ import annotations

import glob
import lzma
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ase.db
import ase.io
from ase import Atoms
from qdml.errors import DataError
from qdml.xyz_scan import is_xyz, scan_xyz

from qdml_train import cp2k_files
from qdml_train.frames import Frame, frame_from_atoms, missing_labels
from qdml_train.source import SYSTEMS, Source, Units

DATABASES = (".db", ".json")
FORCE_CONSISTENT = ("vasp-out", "vasp-xml")
"""Formats whose `energy` is extrapolated to zero smearing; forces belong to the free energy."""


def read_frames(path: str | Path, need_labels: bool = True) -> list[Frame]:
    """All frames of one file with the usual names and units; see `read_source`.

    With `need_labels` a file of which some frame has neither energy nor forces is refused.
    """
    frames = read_source(Source(file=Path(path)))
    bare = [f for f in frames if f.energy is None and f.forces is None]
    if need_labels and bare:
        raise missing_labels(bare, "forces", "and no energy either")
    return frames


def read_sources(sources: Iterable[Source]) -> list[Frame]:
    """Frames of several sources in order; files of one name are told apart by their folder."""
    groups = [(path, *group) for source in sources for path, *group in _files(source)]
    names = Counter(path.name for path, _, _ in groups)
    frames = []
    for path, source, how in groups:
        name = path.name if names[path.name] == 1 else f"{path.parent.name}/{path.name}"
        found = _frames_of(path, source, how, name)
        if source.labels is not None:
            from qdml_train.teacher import label_frames

            found = label_frames(found, source.labels)
        frames += found
    return frames


def read_source(source: Source) -> list[Frame]:
    """Frames of one source in eV and Å, with what was converted in `provenance`.

    Raises DataError naming the file, and the frame where there is one.
    """
    return read_sources([source])


def _files(source: Source) -> list[tuple[Path, Source, str]]:
    """Files of a source, the source with its units settled, and how each is read."""
    pattern = str(source.file or source.pos)
    if any(c in pattern for c in "*?") and not Path(pattern).exists():
        paths = [Path(p) for p in sorted(glob.glob(pattern))]
        if not paths:
            raise DataError(f"{pattern}: no file fits this pattern")
    else:
        paths = [Path(pattern)]
    found = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file; check data.train in the configuration")
        if path.is_dir():
            raise DataError(f"{path}: a folder; name the files in it, such as {path}/*.extxyz")
        how, settled = _how(path, source), source
        if how == "pair" and "units" not in source.model_fields_set and source.pos is None:
            settled = source.model_copy(update={"units": Units(**SYSTEMS["cp2k"])})
        found.append((path, settled, how))
    return found


def _how(path: Path, source: Source) -> str:
    if source.pos is not None or (source.format is None and cp2k_files.is_position_file(path)):
        return "pair"
    if source.format == "cp2k-output" or (source.format is None and cp2k_files.is_output(path)):
        return "output"
    if source.format is None and path.suffix in DATABASES:
        return "database"
    return "ase"


def _frames_of(path: Path, source: Source, how: str, name: str) -> list[Frame]:
    force_consistent = False
    if how == "pair":
        numbered, text = cp2k_files.read_pair(source, path), _conversion(source)
    elif how == "output":
        numbered, text = cp2k_files.read_output(path, source), cp2k_files.OUTPUT_UNITS
        source = source.model_copy(update={"units": Units()})
    elif how == "database":
        numbered, text = list(enumerate(_read_database(path))), _conversion(source)
    else:
        numbered = list(enumerate(_read_ase(path, source.format)))
        text = _conversion(source)
        force_consistent = _format(path, source.format) in FORCE_CONSISTENT
        if force_consistent:
            text += "; free energies (what VASP's forces belong to); stress by ASE from kB"
    frames = [
        frame_from_atoms(atoms, name, index, source, force_consistent)
        for index, atoms in numbered[source.slice]
    ]
    if not frames:
        raise DataError(f"{path}: no frames (of {len(numbered)}, index '{source.index}')")
    for frame in frames:
        frame.provenance = text
    return frames


def _conversion(source: Source) -> str:
    """What becomes of the numbers of a source, for the records of a fit."""
    units, factors = source.units, source.units.factors
    parts = [
        f"{kind} {name} x {factors[factor]:.10g}"
        for kind, factor, name in (
            ("energy", "energy", units.energy),
            ("positions", "length", units.length),
            ("forces", "force", units.force_name),
            ("stress", "stress", units.stress_name),
        )
        if factors[factor] != 1.0
    ]
    return ", ".join(parts) + " to eV and Å" if parts else "eV and Å as in the file"


def _format(path: Path, given: str | None) -> str:
    if given is not None:
        return given
    try:
        return ase.io.formats.filetype(str(path))
    except (ase.io.formats.UnknownFileTypeError, OSError):
        return "unknown"


def _read_ase(path: Path, form: str | None) -> list[Atoms]:
    if is_xyz(path) and form in (None, "xyz", "extxyz"):
        scan_xyz(path)
    try:
        return ase.io.read(path, index=":", format=form)
    except ase.io.formats.UnknownFileTypeError as error:
        raise DataError(
            f"{path}: ASE does not know this file type ({error}); write extended xyz"
        ) from error
    except (
        ValueError, KeyError, OSError, lzma.LZMAError, IndexError, StopIteration, AttributeError,
        TypeError, AssertionError,
    ) as error:  # fmt: skip
        raise DataError(
            f"{path}: cannot be read as structures ({type(error).__name__}: {error})"
        ) from error


def _read_database(path: Path) -> list[Atoms]:
    """Rows of an ASE database, key-value pairs and data as info."""
    try:
        with ase.db.connect(path) as database:
            rows = list(database.select())
    except Exception as error:  # every back end raises its own
        raise DataError(
            f"{path}: cannot be read as an ASE database ({type(error).__name__}: {error})"
        ) from error
    structures = []
    for row in rows:
        atoms = row.toatoms()
        data: dict[str, Any] = dict(row.get("data") or {})
        atoms.info.update(data | row.key_value_pairs)
        for key, value in data.items():
            if getattr(value, "shape", None) == (len(atoms), 3):
                atoms.arrays[key] = atoms.info.pop(key)
        structures.append(atoms)
    return structures
