#pragma once
// The text of a scalar as a value of the type that its field has. JSON's rules for protobuf plus what YAML authors write:
// numbers and booleans without quotes, hexadecimal, yes and no.
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "control/config_tree.h"

namespace ringside {

struct ScalarProblem {
  std::string what;
  std::string help;
};
template <class T>
using Scalar = std::expected<T, ScalarProblem>;

// true and false, also in quotes; without quotes the spellings of YAML 1.1 as well (yes, no, on, off, y, n).
Scalar<bool> scalar_bool(const ConfigNode& node);
// Decimal, 0x and 0o; a number with a fraction only when it is a whole one (1.0, 1e3).
Scalar<int64_t> scalar_signed(const ConfigNode& node, int64_t min, int64_t max);
Scalar<uint64_t> scalar_unsigned(const ConfigNode& node, uint64_t max);
Scalar<double> scalar_double(const ConfigNode& node);
// base64, standard or URL alphabet, padding optional.
Scalar<std::string> scalar_bytes(const ConfigNode& node);

struct DurationText {
  int64_t seconds = 0;
  int32_t nanos = 0;
};
// "1.5s": the form of protobuf's JSON. A bare number gets the advice to write its unit.
Scalar<DurationText> scalar_duration(const ConfigNode& node);

// The text in quotes, shortened, for messages.
std::string quoted(std::string_view text);

}  // namespace ringside
