#pragma once
// The library's view of a connection: a BIO that reads from received slices and writes into output blocks, without buffers of
// its own. For the sources of this folder only.
#include <cstddef>

struct bio_st;

namespace ringside {

class RecordPort {
 public:
  // Up to `size` received bytes; 0 when there are none now.
  virtual size_t read_cipher(char* room, size_t size) = 0;
  virtual void write_cipher(const char* bytes, size_t size) = 0;

 protected:
  ~RecordPort() = default;
};

// One reference; `port` outlives it.
bio_st* make_record_bio(RecordPort& port);

}  // namespace ringside
