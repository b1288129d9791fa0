// SPDX-License-Identifier: GPL-2.0-only
/// Registers `pair_style qdml` with a running LAMMPS; nothing else.
///
/// LAMMPS loads every `*plugin.so` in LAMMPS_PLUGIN_PATH and calls `lammpsplugin_init`. The record below is the plugin
/// interface as documented in the LAMMPS manual ("Writing plugins"); installed LAMMPS headers do not always contain it.

#include "pair_qdml.h"

#include "comm.h"
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

static void* create_pair_qdml(void* lmp) { return new LAMMPS_NS::PairQdml(static_cast<LAMMPS*>(lmp)); }

__attribute__((visibility("default"))) void lammpsplugin_init(void* lmp, void* handle, void* register_function)
{
    auto* lammps = static_cast<LAMMPS*>(lmp);
#ifdef QDML_LAMMPS_VERSION
    // C++ objects are shared with LAMMPS, so headers of another release can crash without a message of their own.
    // An update of a stable release keeps the date and the layout.
    if (std::strcmp(lammps->version, QDML_LAMMPS_VERSION) != 0 && lammps->comm && lammps->comm->me == 0) {
        lammps->error->warning(FLERR,
                               "qdmlplugin.so was compiled for LAMMPS {}, this is LAMMPS {}; rebuild the plugin against "
                               "this LAMMPS (docs/lammps.md)",
                               QDML_LAMMPS_VERSION, lammps->version);
    }
#endif
    lammpsplugin_t plugin = {};
#ifdef QDML_LAMMPS_VERSION
    plugin.version = QDML_LAMMPS_VERSION;
#else
    plugin.version = lammps->version;
#endif
    plugin.style = "pair";
    plugin.name = "qdml";
    plugin.info = "qdml: message-passing potentials for quantum dots";
    plugin.author = "the qdml developers";
    plugin.creator.v1 = &create_pair_qdml;
    plugin.handle = handle;
    reinterpret_cast<void (*)(lammpsplugin_t*, void*)>(register_function)(&plugin, lmp);
}
}
