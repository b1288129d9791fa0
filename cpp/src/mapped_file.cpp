// SPDX-License-Identifier: MIT
/// POSIX memory mapping of a regular file.
#include "mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "qdml/engine.hpp"

namespace qdml {

MappedFile::MappedFile(const std::string& path) {
    const auto refuse = [&path](const char* reason) {
        throw Error("cannot_open",
                    path + ": cannot be read (" + reason + "); check the path [cannot_open]");
    };
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        refuse(std::strerror(errno));
    }
    struct stat status = {};
    if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
        ::close(file);
        refuse("not a regular file");
    }
    size_ = static_cast<std::size_t>(status.st_size);
    if (size_ > 0) {  // mapping nothing is an error of its own; an empty file is `too_short` later
        void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
        if (address == MAP_FAILED) {
            const int reason = errno;
            ::close(file);
            refuse(std::strerror(reason));
        }
        data_ = static_cast<const unsigned char*>(address);
    }
    ::close(file);
}

MappedFile::~MappedFile() {
    if (data_ != nullptr) {
        ::munmap(const_cast<unsigned char*>(data_), size_);
    }
}

}  // namespace qdml
