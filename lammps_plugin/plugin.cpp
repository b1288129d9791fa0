// SPDX-License-Identifier: GPL-2.0-only
/// Registers `pair_style qdml` with a running LAMMPS; nothing else.
///
/// LAMMPS loads every `*plugin.so` in LAMMPS_PLUGIN_PATH and calls `lammpsplugin_init`. The record below is the plugin
/// interface as documented in the LAMMPS manual ("Writing plugins"); installed LAMMPS headers do not always contain it.

#include "pair_qdml.h"

#include "error.h"
#include "lammps.h"

#include <cstring>

using LAMMPS_NS::LAMMPS;

extern "C" {

struct lammpsplugin_t {
    const char* version;
    const char* style;
    const char* name;
    const char* info;
    const char* author;
    union {
        void* (*v1)(void*);
        void* (*v2)(void*, int, char**);
    } creator;
    void* handle;
};

/// The release the headers are of; without their version.h the plugin takes whatever LAMMPS loads it.
static const char* built_for(const LAMMPS* lammps)
{
#ifdef QDML_LAMMPS_VERSION
    (void)lammps;
    return QDML_LAMMPS_VERSION;
#else
    return lammps->version;
#endif
}

static void* create_pair_qdml(void* lmp)
{
    auto* lammps = static_cast<LAMMPS*>(lmp);
    // C++ objects are shared with LAMMPS, so headers of another release crash without a message of their own. An update of a
    // stable release keeps the date and the layout. Refused here and not at loading, which happens in runs without qdml too.
    if (std::strcmp(lammps->version, built_for(lammps)) != 0) {
        lammps->error->all(FLERR,
                           "pair_style qdml: qdmlplugin.so was compiled for LAMMPS {}, this is LAMMPS {}; compile the plugin "
                           "against the headers of this LAMMPS (docs/lammps.md, \"Another LAMMPS\")",
                           built_for(lammps), lammps->version);
    }
    return new LAMMPS_NS::PairQdml(lammps);
}

__attribute__((visibility("default"))) void lammpsplugin_init(void* lmp, void* handle, void* register_function)
{
    lammpsplugin_t plugin = {};
    plugin.version = built_for(static_cast<LAMMPS*>(lmp));
    plugin.style = "pair";
    plugin.name = "qdml";
    plugin.info = "qdml: message-passing potentials for quantum dots";
    plugin.author = "the qdml developers";
    plugin.creator.v1 = &create_pair_qdml;
    plugin.handle = handle;
    reinterpret_cast<void (*)(lammpsplugin_t*, void*)>(register_function)(&plugin, lmp);
}
}
