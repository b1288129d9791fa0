// SPDX-License-Identifier: MIT
/// The operations of cpp/src/training as XLA custom calls (python/qdml_train/model/native.py).
#pragma once

#include <pybind11/pybind11.h>

/// Names of the XLA FFI targets and their handlers, and `edge_plan_bytes`, into the module.
void add_ffi(pybind11::module_& module);
