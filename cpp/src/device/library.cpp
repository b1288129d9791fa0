// SPDX-License-Identifier: MIT
/// libqdml_cuda is looked for beside the module this code is part of, then where the system's loader looks.
#include "library.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "qdml/engine.hpp"

namespace qdml {
namespace {

constexpr const char* kName = "libqdml_cuda.so";

[[noreturn]] void unavailable(const std::string& reason) {
    throw Error("device_unavailable", "no GPU can be used: " + reason + "; 'device cpu' runs without one");
}

/// Folder of the shared library or program that contains this function.
std::string own_folder() {
    Dl_info info;
    if (dladdr(reinterpret_cast<void*>(&own_folder), &info) == 0 || info.dli_fname == nullptr) return ".";
    const std::string path = info.dli_fname;
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::vector<std::string> places() {
    const char* forced = std::getenv("QDML_DEVICE_LIBRARY");
    if (forced != nullptr && *forced != '\0') return {forced};
    const std::string folder = own_folder();
    return {folder + "/" + kName, folder + "/lib/" + kName, folder + "/../lib/" + kName, kName};
}

const DeviceInterface& load() {
    std::string fault;
    for (const std::string& place : places()) {
        void* library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) {
            const char* text = dlerror();
            fault = text == nullptr ? place + " cannot be loaded" : text;
            continue;
        }
        void* symbol = dlsym(library, kDeviceEntry);
        if (symbol == nullptr)
            unavailable(place + " has no '" + kDeviceEntry + "'; it is not a device library of qdml");
        DeviceEntry entry;
        std::memcpy(&entry, &symbol, sizeof entry);
        const DeviceInterface* found = entry();
        if (found->version != kDeviceInterface || std::strcmp(found->library, version()) != 0) {
            unavailable(place + " belongs to qdml " + found->library + " (interface " + std::to_string(found->version) +
                        "), this is qdml " + version() + " (interface " + std::to_string(kDeviceInterface) +
                        "); install both from one build");
        }
        return *found;  // stays loaded: its table and its driver state live as long as the process
    }
    unavailable("the library " + std::string(kName) + " was not found (" + fault +
                "); build qdml with -D QDML_CUDA=ON where the CUDA toolkit is installed");
}

std::string version_text(int number) {
    return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

}  // namespace

ChosenDevice choose_device(int local_rank) {
    const DeviceInterface& interface = load();
    // before the cards are counted, which fails with an old driver as without a card
    int driver = 0, runtime = 0;
    if (interface.versions(&driver, &runtime) == 0 && driver / 1000 < runtime / 1000) {
        if (driver == 0) unavailable("CUDA finds no card: no NVIDIA driver is installed");
        unavailable("the driver supports CUDA " + version_text(driver) + ", this build needs " +
                    version_text(runtime / 1000 * 1000) + " or newer; update the driver");
    }
    int n = 0;
    const int error = interface.count(&n);
    if (error != 0 || n < 1) {
        unavailable("CUDA finds no card (" + std::string(interface.describe_error(error)) +
                    "); check that nvidia-smi lists one and that CUDA_VISIBLE_DEVICES does not hide it");
    }
    const int index = local_rank % n;
    DeviceDescription d;
    const int fault = interface.describe(index, &d);
    if (fault != 0) {
        unavailable("card " + std::to_string(index) + " does not answer (" + interface.describe_error(fault) + ")");
    }
    if (d.major < 8) {
        unavailable(std::string(d.name) + " has compute capability " + std::to_string(d.major) + "." +
                    std::to_string(d.minor) + ", this build needs 8.0 or newer");
    }
    return {&interface, index};
}

}  // namespace qdml
