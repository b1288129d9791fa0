// SPDX-License-Identifier: MIT
/// Finds and loads libqdml_cuda, and picks a card.
#pragma once

#include "interface.hpp"

namespace qdml {

struct ChosenDevice {
    const DeviceInterface* interface;
    int index;  ///< of the card
};

/// Card number local_rank modulo the number of cards. Throws Error `device_unavailable` saying what is missing: the
/// library, a driver, a card, or one new enough.
ChosenDevice choose_device(int local_rank);

}  // namespace qdml
