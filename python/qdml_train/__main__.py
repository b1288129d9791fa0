# SPDX-License-Identifier: MIT
"""Entry of `python -m qdml_train`; `python -m qdml_train run.yaml` is short for `fit`."""

from qdml_train.cli import main

if __name__ == "__main__":
    main()
