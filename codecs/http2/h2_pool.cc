#include "codecs/http2/h2_pool.h"

#include <utility>

namespace ringside {

H2ScratchPool::~H2ScratchPool() {
  while (spare_ != nullptr) delete std::exchange(spare_, spare_->next);
}

H2Scratch* H2ScratchPool::take() {
  if (spare_ == nullptr) return new H2Scratch;
  --spare_count_;
  return std::exchange(spare_, spare_->next);
}

void H2ScratchPool::give(H2Scratch* scratch) {
  if (spare_count_ == spare_scratches_max) {
    delete scratch;
    return;
  }
  scratch->shrink();
  scratch->next = spare_;
  spare_ = scratch;
  ++spare_count_;
}

}  // namespace ringside
