#include "proxy/observe/response_flags.h"

#include <bit>
#include <cstring>

namespace ringside {
namespace {

struct Names {
  std::string_view short_name, long_name;
};
constexpr Names names_of[] = {
#define RS_FLAG_NAMES(id, short_name, long_name) {short_name, long_name},
    RS_RESPONSE_FLAGS(RS_FLAG_NAMES)
#undef RS_FLAG_NAMES
};

constexpr size_t all_names_bytes() {
  size_t bytes = 0;
  for (const Names& names : names_of) bytes += names.long_name.size() + 1;
  return bytes;
}
static_assert(all_names_bytes() <= ResponseFlags::text_bytes_max);

}  // namespace

std::string_view response_flag_name(ResponseFlag flag, FlagNames names) {
  const Names& both = names_of[static_cast<size_t>(flag)];
  return names == FlagNames::short_names ? both.short_name : both.long_name;
}

size_t ResponseFlags::write(char* out, FlagNames names) const {
  char* at = out;
  for (uint32_t left = bits_; left != 0; left &= left - 1) {
    if (at != out) *at++ = ',';
    const std::string_view name = response_flag_name(static_cast<ResponseFlag>(std::countr_zero(left)), names);
    std::memcpy(at, name.data(), name.size());
    at += name.size();
  }
  if (at == out) *at++ = '-';
  return static_cast<size_t>(at - out);
}

}  // namespace ringside
