#pragma once
// Times in the format language of access logs: strftime's letters for UTC, with fractions of a second as Envoy writes them.
#include <string>
#include <string_view>

#include "core/time.h"
#include "proxy/observe/second_cache.h"

namespace ringside {

inline constexpr size_t time_text_bytes_max = 512;

// What is wrong with `format`; "" when nothing is.
std::string time_format_problem(std::string_view format);
// Writes `time`, whose second is `civil`; `out` has time_text_bytes_max bytes. `format` has no problem. Returns the size.
size_t write_time(char* out, std::string_view format, WallTime time, const CivilTime& civil);

}  // namespace ringside
