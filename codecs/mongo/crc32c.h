#pragma once
// CRC-32C (Castagnoli), as the checksum of an OP_MSG uses it.
#include <cstdint>
#include <string_view>

namespace ringside {

// Of the bytes before, followed by `bytes`; 0 is the value of no bytes.
uint32_t crc32c(uint32_t before, std::string_view bytes);

}  // namespace ringside
