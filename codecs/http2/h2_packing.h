#pragma once
// Small pieces of a body that wait are copied together: each would hold the whole block that it was received in.
#include <string_view>

#include "core/buffer.h"

namespace ringside {

// One stream's. Nothing is allocated before the first piece; what was handed out outlives this.
class H2Packing {
 public:
  H2Packing() = default;
  H2Packing(const H2Packing&) = delete;
  H2Packing& operator=(const H2Packing&) = delete;
  ~H2Packing() { let_go(); }
  // At most h2::pack_bytes_max bytes.
  Slice copy(std::string_view bytes);

 private:
  void let_go();
  Block* block_ = nullptr;  // its `index` says how much of it is used
};

}  // namespace ringside
