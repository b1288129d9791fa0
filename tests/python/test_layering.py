# SPDX-License-Identifier: MIT
"""Which part may know which (docs/architecture.md), read off the sources."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def imported_modules(path: Path) -> set[str]:
    """First components and full names of every module a Python file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
    return names


def sources(folder: str, *suffixes: str) -> list[Path]:
    return sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in suffixes)


@pytest.mark.parametrize(
    "path", sources("python/qdml", ".py"), ids=lambda p: str(p.relative_to(ROOT))
)
def test_qdml_works_without_jax_and_the_training_package(path):
    heads = {name.split(".")[0] for name in imported_modules(path)}
    assert not heads & {"jax", "flax", "optax", "qdml_train"}


def test_the_engine_knows_neither_lammps_nor_python_nor_mpi():
    files = sources("cpp/src", ".cpp", ".hpp") + sources("cpp/include", ".hpp", ".h")
    assert files
    for path in files:
        includes = re.findall(r'#\s*include\s*[<"]([^>"]+)', path.read_text())
        forbidden = [i for i in includes if re.search(r"lammps|pair\.h|[Pp]ython|pybind|mpi\.h", i)]
        assert not forbidden, f"{path} includes {forbidden}"


def test_the_plugin_knows_only_the_public_header():
    files = sources("lammps_plugin", ".cpp", ".h")
    assert files
    for path in files:
        ours = re.findall(r'#\s*include\s*[<"](qdml/[^>"]+)', path.read_text())
        assert set(ours) <= {"qdml/engine.hpp", "qdml/committee.hpp"}, path
        assert "cuda" not in path.read_text().lower().split("#include")[0]


@pytest.mark.parametrize("folder", ["python", "cpp/src", "cpp/include", "lammps_plugin", "tests"])
def test_no_file_names_a_folder_of_somebodys_machine(folder):
    pattern = re.compile(r"/(?:home|work|root|Users)/[a-z]")
    for path in sources(folder, ".py", ".cpp", ".hpp", ".h", ".md", ".toml", ".yaml"):
        assert not pattern.search(path.read_text()), path
