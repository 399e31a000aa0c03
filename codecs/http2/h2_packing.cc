#include "codecs/http2/h2_packing.h"

#include <cstring>
#include <memory>

#include "codecs/http2/h2_limits.h"

namespace ringside {
namespace {

struct PackedBlock : Block {
  char bytes[h2::packed_block_bytes];
};

// Knows nothing but how to free, so that every thread may use the one.
class PackedBlocks final : public BlockOwner {
 public:
  void recycle(Block& block) override { delete static_cast<PackedBlock*>(&block); }
};
PackedBlocks packed_blocks;

}  // namespace

void H2Packing::let_go() {
  if (block_ != nullptr && --block_->references == 0) block_->owner->recycle(*block_);
  block_ = nullptr;
}

Slice H2Packing::copy(std::string_view bytes) {
  static_assert(h2::pack_bytes_max <= h2::packed_block_bytes);
  RS_DCHECK(bytes.size() <= h2::pack_bytes_max);
  if (block_ != nullptr && block_->capacity - block_->index < bytes.size()) let_go();
  if (block_ == nullptr) {
    auto* const made = new PackedBlock;
    made->data = made->bytes;
    made->owner = &packed_blocks;
    made->capacity = h2::packed_block_bytes;
    made->references = 1;  // ours
    block_ = made;
  }
  char* const at = block_->data + block_->index;
  std::memcpy(at, bytes.data(), bytes.size());
  block_->index += static_cast<uint32_t>(bytes.size());
  return Slice(*block_, at, bytes.size());
}

}  // namespace ringside
