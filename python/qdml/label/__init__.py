"""Reference labels: CP2K or GFN1-xTB single points in a resumable queue."""
# SPDX-License-Identifier: MIT
