// SPDX-License-Identifier: MIT
/// The reader: every stored broken file has its code, and no damage crashes it.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "model.hpp"
#include "random_model.hpp"

namespace {

std::string code_of(const std::string& path) {
    try {
        qdml::read_members(path);
    } catch (const qdml::Error& error) {
        CHECK(std::string(error.what()).find(path) == 0);  // names the file
        return error.code();
    }
    return "ok";
}

}  // namespace

TEST_CASE("each broken file has its code") {
    const std::string folder = std::string(QDML_GOLDEN) + "/broken/";
    std::ifstream stream(folder + "cases.json");
    const auto cases = nlohmann::json::parse(stream);
    REQUIRE(cases.size() > 60);
    for (const auto& item : cases.items()) {
        CAPTURE(item.key());
        CHECK(code_of(folder + item.key()) == item.value().get<std::string>());
    }
}

TEST_CASE("a missing file and a folder cannot be opened") {
    CHECK(code_of("/nonexistent/model.qdml") == "cannot_open");
    CHECK(code_of("/tmp") == "cannot_open");
}

TEST_CASE("damaged bytes are read or refused, never worse") {
    std::ifstream stream(std::string(QDML_GOLDEN) + "/broken/good.qdml", std::ios::binary);
    const std::vector<char> good((std::istreambuf_iterator<char>(stream)), {});
    REQUIRE(good.size() > 3000);
    const qdml_test::TemporaryFile file("damaged.qdml");
    std::mt19937 generator(7);
    std::set<std::string> seen;
    for (int trial = 0; trial < 500; ++trial) {
        auto data = good;
        for (unsigned k = 0; k < 1 + generator() % 3; ++k) {
            data[generator() % 2600] = static_cast<char>(generator());
        }
        if (trial % 5 == 0) {
            data.resize(generator() % data.size());
        }
        std::ofstream(file.path, std::ios::binary).write(data.data(), std::streamsize(data.size()));
        seen.insert(code_of(file.path));
    }
    CHECK(seen.size() > 6);
}

TEST_CASE("nested values cannot exhaust the stack, long ones do not fill the message") {
    std::ifstream stream(std::string(QDML_GOLDEN) + "/broken/good.qdml", std::ios::binary);
    const std::string good((std::istreambuf_iterator<char>(stream)), {});
    const qdml_test::TemporaryFile file("nested.qdml");
    const std::string units = R"({\"length\": \"angstrom\", \"energy\": \"eV\"})";
    const auto with_units = [&](const std::string& value) {
        std::string text = good;
        text.replace(text.find(units), units.size(), value);
        const std::uint64_t length = good.find("}}   ") + 2 - 8 + value.size() - units.size();
        std::string bytes(reinterpret_cast<const char*>(&length), 8);
        bytes += text.substr(8);
        std::ofstream(file.path, std::ios::binary) << bytes;
        return code_of(file.path);
    };
    REQUIRE(good.find("}}   ") < 3000);
    CHECK(with_units(R"({\"energy\": \"eV\"})") == "units_unknown");
    const std::string depth(300000, '[');
    CHECK(with_units(depth + std::string(300000, ']')) == "metadata_not_json");
    CHECK(with_units(R"(\")" + std::string(100000, 'x') + R"(\")") == "units_unknown");
    try {
        qdml::read_model(file.path);
    } catch (const qdml::Error& error) {
        CHECK(std::string(error.what()).size() < file.path.size() + 500);
    }
}

TEST_CASE("content and description of a good file") {
    const qdml_test::TemporaryFile file("good.qdml");
    qdml_test::write_random_model(file.path, {});
    const auto model = qdml::read_model(file.path);
    CHECK(model.info.species == std::vector<std::string>{"Cd", "Se", "Cl"});
    CHECK(model.info.architecture == "cartesian-summed, l_max 2, 32 channels, 3 layers, 4 Å");
    CHECK(model.info.hash.size() == 64);
    CHECK(model.tensor("energy.reference") == std::vector<double>{-100, -103, -106});
    CHECK(model.tensor("layers.1.radial").size() == 27 * 11 * 32);

    qdml_test::Options o;
    o.l_max = 3;
    o.separated = true;
    qdml_test::write_random_model(file.path, o);
    const auto other = qdml::read_model(file.path);
    CHECK(other.info.architecture == "cartesian-separated, l_max 3, 32 channels, 3 layers, 4 Å");
    CHECK(other.tensor("layers.1.radial").size() == 27 * 23 * 32);
    CHECK(other.tensor("layers.1.linear_out.l3.weight").size() == 6 * 32 * 12);
}

TEST_CASE("terms and sums of a layer") {
    const int count[4][4] = {{1, 2, 3, 4}, {2, 5, 7, 10}, {3, 7, 11, 17}, {4, 10, 17, 23}};
    for (int l_in = 0; l_in < 4; ++l_in) {
        for (int l_out = 0; l_out < 4; ++l_out) {
            CHECK(qdml::n_terms(l_in, l_out) == count[l_in][l_out]);
            qdml::Architecture a;
            qdml::LayerShape layer;
            layer.l_in = l_in;
            layer.l_out = l_out;
            CHECK(qdml::n_slots(a, layer, l_out) == 1);
            a.separated = true;
            int sum = 0;
            for (int l = 0; l < 4; ++l) {
                sum += qdml::n_slots(a, layer, l);
            }
            CHECK(sum == count[l_in][l_out]);
        }
    }
}
