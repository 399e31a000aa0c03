#pragma once
// What decompresses the body of an OP_COMPRESSED as it comes: never gathered, never whole. A window's worth of it is in memory.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace ringside {

class MongoInflater {
 public:
  virtual ~MongoInflater() = default;
  // Another message begins: it announces so many bytes.
  virtual void begin(uint32_t uncompressed_bytes) = 0;
  // Takes from `bytes`; what has come out is in `out`, until the next call. Nothing in it: more is needed, or all is out. false:
  // what follows `out` is no such data, or wants more memory than anybody grants it; not asked again.
  virtual bool next(std::string_view& bytes, std::string_view& out) = 0;
};

// One adapter each.
std::unique_ptr<MongoInflater> make_zlib_inflater();
std::unique_ptr<MongoInflater> make_zstd_inflater();
// Our own: libsnappy decompresses a block only when all of it lies there, into memory for all that comes out (48 MB). A reader
// that wants names and numbers needs the 64 KB that a copy may reach back, and nothing behind what it asks for.
std::unique_ptr<MongoInflater> make_snappy_inflater();

}  // namespace ringside
