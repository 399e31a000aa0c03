#pragma once
// Every limit of the program in one table. What the configuration may set has its default in proxy/specs.h.
#include <cstddef>
#include <cstdint>

namespace ringside::limits {

// Rings, one per worker.
inline constexpr uint32_t submissions_max = 1024;
inline constexpr uint32_t completions_max = 8 * submissions_max;
inline constexpr uint32_t send_pieces_max = 64;  // iovecs of one gathered send

// Receive blocks, one pool per worker. A pool grows by a step when it is empty and gives the surplus back when it is idle.
inline constexpr uint32_t small_block_bytes = 4096;
inline constexpr uint32_t small_blocks_kept = 64;
inline constexpr uint32_t small_blocks_step = 64;
inline constexpr uint32_t small_blocks_max = 32768;  // in the kernel's ring at most
inline constexpr uint32_t large_block_bytes = 256 * 1024;
inline constexpr uint32_t large_blocks_kept = 4;
inline constexpr uint32_t large_blocks_step = 2;
inline constexpr uint32_t large_blocks_max = 1024;

// A multishot receive is stopped when its user holds so much unconsumed input.
inline constexpr uint32_t multishot_held_bytes_max = 8 * small_block_bytes;
// So many full small blocks in a row mean a bulk transfer.
inline constexpr uint32_t bulk_after_blocks = 3;
// A body of at least so many bytes is received in large blocks from the start.
inline constexpr uint32_t bulk_body_bytes = 32 * 1024;
// Pipes between sockets, for bytes that are only passed on. A pipe holds references to pages: so many bytes when these are full,
// more when they are parts of larger ones, as on the loopback.
inline constexpr uint32_t pipe_bytes = 256 * 1024;
inline constexpr uint32_t piped_bytes_max = 1024 * 1024;  // of one receive
inline constexpr uint32_t pipes_kept = 64;                // empty ones, per worker, while they are used
inline constexpr uint32_t pipes_max = 256;                // per worker
inline constexpr uint32_t descriptors_per_pipe_min = 64;  // a pipe per so many that the process may open
// A user that has so many of them unconsumed gets no further ones: the sockets' own queues are deep enough.
inline constexpr uint32_t piped_held_bytes_max = 256 * 1024;
// Fewer than this are copied: two calls per piece cost as much.
inline constexpr uint32_t piped_bytes_min = 16 * 1024;
// A slice smaller than this is copied out of its block before it waits in a queue.
inline constexpr uint32_t copy_below_bytes = 1024;

// Lines that one place in the code may log per second; the rest is counted.
inline constexpr uint32_t log_lines_per_second_max = 10;

static_assert(bulk_after_blocks * small_block_bytes < multishot_held_bytes_max);
static_assert((small_blocks_max & (small_blocks_max - 1)) == 0, "the kernel's buffer rings have a power of two");
static_assert((large_blocks_max & (large_blocks_max - 1)) == 0);

}  // namespace ringside::limits
