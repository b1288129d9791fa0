# SPDX-License-Identifier: MIT
"""JSON schema of the configuration, for completion and checks while typing in an editor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qdml_train.config import Config

FILE_NAME = "qdml-config.schema.json"

MODELINE = f"# yaml-language-server: $schema={FILE_NAME}"
"""First line of written files: editors with the YAML language server read the schema beside it."""


def config_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of everything a configuration accepts, short forms included."""
    schema = Config.model_json_schema(mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    definitions = schema["$defs"]
    # a path alone is a source, and a name alone a system of units, one number the three weights
    source = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Source"}]}
    for key in ("train", "valid", "test"):
        entry = definitions["DataSection"]["properties"][key]
        kept = {k: entry[k] for k in ("title", "description", "default") if k in entry}
        listed = {"type": "array", "items": source, "minItems": 1 if key == "train" else 0}
        definitions["DataSection"]["properties"][key] = {
            **kept,
            "anyOf": [*source["anyOf"], listed],
        }
    return schema


def write_schema(folder: Path) -> Path:
    """Write the schema beside a configuration."""
    path = folder / FILE_NAME
    path.write_text(json.dumps(config_schema(), indent=1, ensure_ascii=False) + "\n")
    return path
