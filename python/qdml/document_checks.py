# SPDX-License-Identifier: MIT
"""Checks of values and keys of a `.qdml` document, shared by all kinds of architecture."""

from __future__ import annotations

from typing import Any, NoReturn

from qdml.errors import ModelFileError


def fault(path: object, code: str, message: str) -> NoReturn:
    """Raise a `ModelFileError` that names the file and carries `code`."""
    error = ModelFileError(f"{path}: {message} [{code}]")
    error.code = code  # type: ignore[attr-defined]
    raise error


def is_integer(value: object, low: int, high: int) -> bool:
    """Whether a JSON value is an integer in low..high (true and false are none)."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def need(path: object, condition: bool, key: str, value: object, expected: str) -> None:
    """Refuse the file (`value_invalid`) unless `condition` holds."""
    if not condition:
        fault(path, "value_invalid", f"{key} is {value!r}, expected {expected}")


def check_keys(path: object, where: str, found: dict[str, Any], known: tuple[str, ...]) -> None:
    """Refuse missing and unknown keys of an object whose every key changes the numbers."""
    for key in known:
        if key not in found:
            fault(path, "key_missing", f"key '{where}.{key}' is missing; export again")
    for key in found:
        if key not in known:
            fault(
                path,
                "key_unknown",
                f"key '{where}.{key}' is unknown (known: {', '.join(known)}) and would change the "
                "numbers; install a newer qdml",
            )
