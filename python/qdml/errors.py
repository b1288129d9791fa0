# SPDX-License-Identifier: MIT
"""Exceptions of qdml: one family per kind of fault, each with the exit code its command returns."""


class QdmlError(Exception):
    """Base of all faults qdml reports without a traceback.

    The message says what is wrong, where, what was found and expected, and what to do.
    `exit_code` is what the command line returns: 2 for bad input, 1 for a failure of the work.
    """

    exit_code = 1


class DataError(QdmlError):
    """Frames, labels or trajectories that cannot be used as they are."""

    exit_code = 2


class CheckError(DataError):
    """The data doctor found a fault that would waste a fit."""

    exit_code = 4


class ConfigError(QdmlError):
    """A configuration key or value that is unknown or out of range."""

    exit_code = 2


class StructureError(QdmlError):
    """A structure that cannot be built or is not chemically sound (charge, clashes)."""

    exit_code = 2


class ModelFileError(QdmlError):
    """A `.qdml` file that is damaged, too new, or does not fit what it claims."""

    exit_code = 2


class EngineError(QdmlError):
    """The engine could not evaluate a structure."""


class LabelError(QdmlError):
    """A reference calculation failed or did not converge."""


class DivergedError(QdmlError):
    """A fit became non-finite."""

    exit_code = 3
