// SPDX-License-Identifier: MIT
/// The message terms of docs/conventions.md as data: the Clebsch-Gordan path of each and its partner.
///
/// Data only: this header is compiled for several instruction sets.
#pragma once

namespace qdml {

constexpr int kMaxDegree = 3;  ///< of features and messages
constexpr int kTerms = 23;

/// One term: path (l_in, l_edge, l_out) and, where the path is term - factor · partner, the partner.
///
/// The sender's tensor is contracted with r̂ (l_in + l_edge - l_out) / 2 times, which leaves a tensor
/// of `rank`, and symmetrised with r̂ until it has l_out indices.
struct Term {
    int l_in, l_edge, l_out;
    int rank;     ///< (l_in + l_out - l_edge) / 2
    int partner;  ///< -1: none
    double factor;
};

/// In the order of the file: the first eleven are those of degrees up to 2.
constexpr Term kTerm[kTerms] = {
    {0, 0, 0, 0, -1, 0},         {1, 1, 0, 0, -1, 0},         {2, 2, 0, 0, -1, 0},
    {0, 1, 1, 0, -1, 0},         {1, 2, 1, 0, 5, 1.0 / 3},    {1, 0, 1, 1, -1, 0},
    {2, 1, 1, 1, -1, 0},         {0, 2, 2, 0, -1, 0},         {1, 1, 2, 1, -1, 0},
    {2, 2, 2, 1, 10, 1.0 / 3},   {2, 0, 2, 2, -1, 0},         {3, 3, 0, 0, -1, 0},
    {2, 3, 1, 0, 6, 2.0 / 5},    {3, 2, 1, 1, -1, 0},         {1, 3, 2, 0, 8, 2.0 / 5},
    {3, 3, 2, 1, 16, 2.0 / 5},   {3, 1, 2, 2, -1, 0},         {0, 3, 3, 0, -1, 0},
    {1, 2, 3, 1, -1, 0},         {2, 3, 3, 1, 20, 2.0 / 5},   {2, 1, 3, 2, -1, 0},
    {3, 2, 3, 2, 22, 1.0 / 3},   {3, 0, 3, 3, -1, 0},
};

}  // namespace qdml
