# SPDX-License-Identifier: MIT
"""Parts shared by the benchmark scripts: machine, structures, counts, workers, figures."""
