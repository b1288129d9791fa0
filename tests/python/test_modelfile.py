# SPDX-License-Identifier: MIT
"""The `.qdml` reader and writer: both readers refuse every stored broken file with its code."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import models
import numpy as np
import pytest
from qdml import _native as native
from qdml.cartesian import PARTNERS, PATHS, layer_terms
from qdml.errors import ModelFileError
from qdml.modelfile import content_hash, parse_model, read_file, read_model, write_model
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
BROKEN = ROOT / "tests/golden/broken"
CASES = json.loads((BROKEN / "cases.json").read_text())


def code_of(read, path) -> str:
    """Error code of reading a file, `ok` when it is read."""
    try:
        read(str(path))
    except ModelFileError as error:
        return error.code if str(path) in str(error) else f"file not named: {error}"
    return "ok"


@pytest.mark.parametrize("reader", [read_file, native.Engine], ids=["python", "native"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_each_broken_file_has_its_code(name, reader):
    assert code_of(reader, BROKEN / name) == CASES[name]


@pytest.mark.parametrize("reader", [read_file, native.Engine], ids=["python", "native"])
def test_missing_file_and_folder_cannot_be_opened(reader, tmp_path):
    assert code_of(reader, tmp_path / "nothing.qdml") == "cannot_open"
    assert code_of(reader, tmp_path) == "cannot_open"


def test_every_code_of_the_format_page_has_a_case():
    text = (ROOT / "docs/file-format.md").read_text().split("## Errors of a reader")[1]
    codes = set(re.findall(r"`([a-z0-9_]+)`", text.split("Messages name")[0]))
    assert len(codes) > 20
    assert codes == set(CASES.values()) - {"ok"} | {"cannot_open"}


def test_stored_broken_files_are_those_the_generator_makes():
    command = [sys.executable, str(ROOT / "tests/golden/make_broken.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0


def test_both_readers_agree_on_damaged_bytes(tmp_path):
    good = (BROKEN / "good.qdml").read_bytes()
    rng = np.random.default_rng(3)
    path = tmp_path / "damaged.qdml"
    seen = set()
    for _ in range(400):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(0, len(good) if rng.random() < 0.2 else 2600)] = rng.integers(0, 256)
        path.write_bytes(data[: rng.integers(0, len(data))] if rng.random() < 0.2 else data)
        codes = [code_of(read, path) for read in (read_file, native.Engine)]
        assert codes[0] == codes[1], bytes(data[:200])
        seen.add(codes[0])
    assert len(seen) > 6


def test_both_readers_agree_on_the_inputs_of_the_fuzzer():
    inputs = sorted((ROOT / "tests/fuzz/corpus").iterdir())
    assert len(inputs) > 100
    found = {p.name: [code_of(read, p) for read in (read_file, native.Engine)] for p in inputs}
    assert {name: codes for name, codes in found.items() if codes[0] != codes[1]} == {}


def test_what_is_written_is_read_back(tmp_path):
    path = models.random_model(tmp_path / "a.qdml", layers=2, seed=5)
    document, tensors = read_model(path)
    again = write_model(tmp_path / "b.qdml", document, tensors)
    assert again == content_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert native.Engine(str(path)).info["hash"] == again
    assert native.Engine(str(path)).info["species"] == document["species"]
    assert document["units"] == {"length": "angstrom", "energy": "eV"}


def test_a_file_is_valid_safetensors(tmp_path):
    path = models.random_model(tmp_path / "a.qdml", layers=2)
    _, tensors = read_model(path)
    loaded = load_file(path)
    assert loaded.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(loaded[name], array)


def test_writer_refuses_what_readers_refuse(tmp_path):
    path = models.random_model(tmp_path / "a.qdml", layers=2)
    document, tensors = read_model(path)
    tensors = dict(tensors)
    tensors["energy.scale"] = np.array([1.0, np.nan, 1.0])
    with pytest.raises(ModelFileError, match=r"energy\.scale.*not_finite"):
        write_model(tmp_path / "b.qdml", document, tensors)
    assert not (tmp_path / "b.qdml").exists()


def test_single_precision_is_kept(tmp_path):
    document, tensors = read_model(models.random_model(tmp_path / "a.qdml", layers=2))
    single = {k: v.astype(np.float32) for k, v in tensors.items()}
    write_model(tmp_path / "b.qdml", document, single)
    _, found = read_model(tmp_path / "b.qdml")
    assert all(a.dtype == np.float32 for a in found.values())
    assert code_of(native.Engine, tmp_path / "b.qdml") == "ok"


def test_terms_are_those_of_the_conventions():
    text = (ROOT / "docs/conventions.md").read_text()
    path = r"\((\d),(\d),(\d)\)(?: \+ (.) term (\d+))?"
    row = rf"^\| (\d+)( \*)? \|[^|]*\|[^|]*\| (\d) \| (\d) \| {path} \|$"
    rows = re.findall(row, text, re.MULTILINE)
    assert len(rows) == 23
    for k, (number, starred, l_in, l_out, *path, share, partner) in enumerate(rows):
        assert int(number) == k
        assert tuple(map(int, path)) == PATHS[k] == (int(l_in), int(path[1]), int(l_out))
        found = (int(partner), {"⅓": 1 / 3, "⅖": 2 / 5}[share]) if share else None
        assert PARTNERS.get(k) == found
        terms = [(a, b) for a in range(4) for b in range(4) if k in layer_terms(a, b)]
        assert terms == [
            (a, b)
            for a in range(4)
            for b in range(4)
            if a >= int(l_in) and b >= int(l_out) and (not starred or 3 in (a, b))
        ]


@pytest.mark.parametrize(
    ("l_max", "kind", "number"),
    [(2, "cartesian-summed", 1), (3, "cartesian-summed", 2), (1, "cartesian-separated", 2)],
)
def test_the_writer_takes_the_lowest_format(tmp_path, l_max, kind, number):
    path = models.random_model(tmp_path / "a.qdml", l_max=l_max, layers=2, kind=kind)
    document, tensors = read_model(path)
    assert document["format"] == number
    document["format"] = 2  # as it would be when the file was written by other means
    write_model(tmp_path / "b.qdml", document, tensors)
    assert read_model(tmp_path / "b.qdml")[0]["format"] == number
    assert code_of(native.Engine, tmp_path / "b.qdml") == "ok"


def test_parse_names_the_file_it_is_told():
    with pytest.raises(ModelFileError, match=r"dot\.qdml: has 3 bytes"):
        parse_model(b"abc", "dot.qdml")
