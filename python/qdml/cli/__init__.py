# SPDX-License-Identifier: MIT
"""The `qdml` command line: one module per subcommand."""
