#pragma once
// Limits of the control thread's own work.
#include <cstddef>
#include <cstdint>

#include "core/time.h"

namespace ringside::limits {

// --concurrency
inline constexpr uint32_t workers_max = 1024;

// Admin server. Its clients are few and trusted to be slow only.
inline constexpr uint32_t admin_connections_max = 256;
inline constexpr uint32_t admin_request_body_bytes_max = 64 * 1024;
inline constexpr uint32_t admin_receive_window_bytes = 64 * 1024;
// What a page may have rendered and not yet sent, give or take the largest single entry.
inline constexpr size_t admin_unsent_bytes_max = 64 * 1024;
inline constexpr Duration admin_idle_timeout = minutes(5);
inline constexpr Duration admin_request_timeout = seconds(30);    // from the first byte of a request to its end
inline constexpr Duration admin_send_stall_timeout = minutes(1);  // a reader that takes nothing

// DNS
inline constexpr uint32_t dns_addresses_max = 1024;  // of one answer

}  // namespace ringside::limits
