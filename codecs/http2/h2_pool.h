#pragma once
// Memory of one worker that its HTTP/2 connections share: streams, header blocks being received, the list being encoded.
#include "codecs/http2/h2_scratch.h"
#include "codecs/http2/h2_stream.h"
#include "core/slab.h"

namespace ringside {

class H2ScratchPool {
 public:
  H2ScratchPool() = default;
  H2ScratchPool(const H2ScratchPool&) = delete;
  H2ScratchPool& operator=(const H2ScratchPool&) = delete;
  ~H2ScratchPool();
  H2Scratch* take();
  void give(H2Scratch* scratch);
  Slab<H2Stream>& streams() { return streams_; }
  // For one block, between its listing and its encoding.
  HpackFields& fields() { return fields_; }

 private:
  static constexpr size_t spare_streams_max = 1024;
  static constexpr uint32_t spare_scratches_max = 16;
  Slab<H2Stream> streams_{spare_streams_max};
  HpackFields fields_;
  H2Scratch* spare_ = nullptr;
  uint32_t spare_count_ = 0;
};

}  // namespace ringside
