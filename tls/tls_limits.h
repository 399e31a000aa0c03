#pragma once
// The limits of TLS connections.
#include <cstddef>
#include <cstdint>

#include "core/time.h"

namespace ringside::limits {

// A record as it travels, and what one carries.
inline constexpr size_t tls_record_bytes_max = 5 + 16384 + 256;
inline constexpr size_t tls_plain_bytes_max = 16384;
// Ciphertext made ahead of the kernel; the rest of what was sent waits as plaintext.
inline constexpr size_t tls_ahead_bytes_max = 256 * 1024;
// A client's connection gets no ticket any more after so many records of data.
inline constexpr uint64_t tls_ticket_records_max = 8;
// Handshake messages (key updates, tickets) without data between them, after the handshake.
inline constexpr uint8_t tls_late_messages_max = 32;
// How long the last alert may take to reach the kernel.
inline constexpr Duration tls_goodbye_time = seconds(1);

}  // namespace ringside::limits
