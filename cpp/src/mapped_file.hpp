// SPDX-License-Identifier: MIT
/// A file mapped read-only into memory for as long as the object lives.
#pragma once

#include <cstddef>
#include <string>

namespace qdml {

class MappedFile {
public:
    /// Throws Error `cannot_open`.
    explicit MappedFile(const std::string& path);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    const unsigned char* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

private:
    const unsigned char* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace qdml
