# SPDX-License-Identifier: MIT
"""Presets, the written configuration, the schema, and the dry run."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from ase import Atoms
from labelled_frames import frame, labelled, lj_frames, write_frames
from qdml.errors import ConfigError
from qdml_train.cli import app
from qdml_train.config import PRESETS, Config, dump_config, key_names, parse_config, section_of
from qdml_train.schema import FILE_NAME, MODELINE, config_schema
from qdml_train.template import propose_batch, propose_cutoff, propose_preset
from typer.testing import CliRunner


def model(**keys):
    content = {"data": {"train": "x"}, "train": {"epochs": 1}, "model": keys}
    return parse_config(content).model


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fill_in_and_are_overridden(name):
    found = model(preset=name)
    assert {key: getattr(found, key) for key in PRESETS[name]} == PRESETS[name]
    assert len(found.channels) == found.l_max + 1
    assert model(preset=name, layers=1).layers == 1
    assert model().preset is None


def test_presets_are_ordered_by_size():
    fast, std, accurate = (PRESETS[name] for name in ("fast", "std", "accurate"))
    assert (fast["l_max"], fast["layers"]) == (1, 3)
    assert (std["l_max"], std["layers"], std["message_channels"]) == (2, 3, 64)
    assert (accurate["l_max"], accurate["layers"]) == (3, 4)


def test_a_written_configuration_keeps_its_preset():
    content = {"data": {"train": "x"}, "train": {"epochs": 1}}
    config = parse_config({**content, "model": {"preset": "std", "layers": 2}})
    assert parse_config(yaml.safe_load(dump_config(config))) == config


def test_unknown_presets_and_elements_are_refused():
    with pytest.raises(ConfigError, match=r"model.preset = 'huge'.*'fast', 'std' or 'accurate'"):
        model(preset="huge")
    with pytest.raises(ConfigError, match="'Cx' is not a chemical symbol"):
        parse_config({"data": {"train": "x"}, "train": {"epochs": 1, "element_weights": {"Cx": 1}}})


# -- schema ---------------------------------------------------------------------------------------


def test_schema_knows_every_key_and_the_short_forms():
    schema = config_schema()
    definitions = schema["$defs"]

    def check(section, entry):
        assert set(entry["properties"]) == set(key_names(section))
        assert entry["additionalProperties"] is False
        for field in section.model_fields.values():
            inner = section_of(field.annotation)
            if inner is not None:
                check(inner, definitions[inner.__name__])

    check(Config, schema)
    train = definitions["DataSection"]["properties"]["train"]["anyOf"]
    assert {"type": "string"} in train
    assert {"$ref": "#/$defs/Source"} in train
    units = json.dumps(definitions["Source"]["properties"]["units"])
    assert '"string"' in units, "units: cp2k must not be flagged"
    budget = json.dumps(definitions["TrainSection"]["properties"]["time_budget"])
    assert '"string"' in budget, "time_budget: 4h must not be flagged"


def test_schema_command(tmp_path):
    result = CliRunner().invoke(app, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.output)["title"] == "Config"
    target = tmp_path / "s.json"
    assert CliRunner().invoke(app, ["schema", "-o", str(target)]).exit_code == 0
    assert json.loads(target.read_text()) == json.loads(result.output)


# -- init -----------------------------------------------------------------------------------------


def test_init_explains_its_proposals(tmp_path):
    data = write_frames(tmp_path / "lj.extxyz", lj_frames(6))
    target = tmp_path / "run.yaml"
    result = CliRunner().invoke(app, ["init", str(data), "-o", str(target)])
    assert result.exit_code == 0, result.output
    text = target.read_text()
    assert text.startswith(MODELINE)
    assert (tmp_path / FILE_NAME).exists()
    assert "6 frames (3 periodic), 45 atoms" in text
    assert "energy 6, forces 6, stress 3" in text
    assert "preset: fast  # 135 force components" in text
    assert "neighbours per atom" in text
    config = parse_config(yaml.safe_load(text))
    assert config.model.preset == "fast"
    named = text.split("# All other keys")[1]
    for key in ("ema", "patience", "test_fraction", "bessel", "element_weights"):
        assert f"#  {key}:" in named
    for section in ("data", "model", "train"):
        inner = section_of(Config.model_fields[section].annotation)
        for key in key_names(inner):
            assert f"{key}:" in text or key in PRESETS["std"] or key in ("epochs", "use_energy")


def test_init_of_forces_alone_says_so(tmp_path):
    frames = lj_frames(2)
    for atoms in frames:
        atoms.calc.results.pop("energy")
    data = write_frames(tmp_path / "lj.extxyz", frames)
    result = CliRunner().invoke(app, ["init", str(data)])
    assert "use_energy: false" in result.output
    assert not parse_config(yaml.safe_load(result.output)).data.use_energy


@pytest.mark.parametrize(("distance", "cutoff"), [(1.4, 5.0), (2.6, 5.5), (3.4, 6.0), (9.0, 5.5)])
def test_cutoff_follows_the_nearest_distance(distance, cutoff):
    atoms = Atoms("Cd3", [(0, 0, 0), (distance, 0, 0), (2 * distance, 0, 0)])
    found = propose_cutoff([frame(atoms)])
    assert found.value == cutoff
    assert found.reason


def test_batch_and_preset_follow_the_amount():
    atoms = Atoms("Cd", [(0, 0, 0)]).repeat((1, 1, 1))
    many = Atoms("Cd1000", np.arange(3000.0).reshape(-1, 3))
    big = frame(many)
    big.forces = np.zeros((1000, 3))
    assert propose_batch([big]).value == 1000
    assert propose_batch([frame(atoms)] * 5000).value == 160
    assert propose_preset([big]).value == "fast"
    assert propose_preset([big] * 11).value == "std"
    assert propose_preset([big] * 400).value == "accurate"


# -- what a fit will cost -------------------------------------------------------------------------


def test_dry_run_measures_and_writes_nothing(tmp_path):
    data = write_frames(tmp_path / "lj.extxyz", lj_frames(6))
    content = {
        "data": {"train": str(data), "split": "none"},
        "model": {"cutoff": 4.0, "l_max": 0, "layers": 1, "channels": [8], "message_channels": 16},
        "train": {"epochs": 40, "batch_atoms": 24},
        "output": str(tmp_path / "fit"),
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(content))
    before = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(app, ["fit", str(path), "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "ms per step" in result.output
    assert " MB" in result.output
    assert "about 40 epochs" in result.output
    assert sorted(tmp_path.iterdir()) == before


def test_a_failed_check_stops_a_fit_before_it_starts(tmp_path):
    frames = lj_frames(6)
    frames[2].calc.results["energy"] -= 8 * 300.0
    data = write_frames(tmp_path / "lj.extxyz", frames)
    content = {"data": {"train": str(data)}, "train": {"epochs": 1}, "output": str(tmp_path / "o")}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(content))
    result = CliRunner().invoke(app, ["fit", str(path)])
    assert result.exception.exit_code == 4
    assert "FAIL energies" in str(result.exception)
    assert "frame 2 of lj.extxyz" in str(result.exception)
    assert not (tmp_path / "o").exists()
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exception.exit_code == 4
    assert "split {'train'" in result.output, "a configuration is checked as it will be divided"


def test_element_and_source_weights_reach_the_loss(tmp_path):
    from qdml_train.dataset import load_dataset

    data = write_frames(tmp_path / "lj.extxyz", [labelled(a) for a in lj_frames(2)])
    source = {"file": str(data), "weights": {"energy": 0.5, "forces": 2.0, "stress": 0.0}}
    config = parse_config(
        {
            "data": {"train": [source], "split": "none"},
            "train": {"epochs": 1, "element_weights": {"Ne": 0.25}},
            "model": {"cutoff": 4.0},
        }
    )
    found = load_dataset(config)
    sample = found.samples["train"][0]
    is_neon = np.array(found.species)[sample.species] == "Ne"
    np.testing.assert_array_equal(sample.force_weight, np.where(is_neon, 0.5, 2.0))
    assert (sample.energy_weight, sample.virial_weight) == (0.5, 0.0)
    assert found.sources == ["lj.extxyz: 2 frames; eV and Å as in the file; LJ"]
