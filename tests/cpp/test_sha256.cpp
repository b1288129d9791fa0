// SPDX-License-Identifier: MIT
/// SHA-256 against the examples of FIPS 180-4 and lengths around the block size.
#include <doctest/doctest.h>

#include <string>

#include "sha256.hpp"

namespace {
std::string hash(const std::string& text) {
    return qdml::sha256(reinterpret_cast<const unsigned char*>(text.data()), text.size());
}
}  // namespace

TEST_CASE("published digests") {
    CHECK(hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(hash(std::string(1000000, 'a')) ==
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("every length around a block differs") {
    for (std::size_t n = 54; n < 130; ++n) {
        CHECK(hash(std::string(n, 'x')) != hash(std::string(n + 1, 'x')));
        CHECK(hash(std::string(n, 'x')).size() == 64);
    }
}
