#include <zstd.h>

#include <array>

#include "codecs/mongo/mongo_inflater.h"
#include "core/check.h"

namespace ringside {

namespace {

// 8 MB: what the highest of the ordinary levels uses. A larger window is asked for by those who want our memory.
constexpr int window_log_max = 23;

class ZstdInflater final : public MongoInflater {
 public:
  ZstdInflater() : stream_(ZSTD_createDCtx()) {
    RS_CHECK(stream_ != nullptr);
    RS_CHECK(!ZSTD_isError(ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, window_log_max)));
  }
  ~ZstdInflater() override { ZSTD_freeDCtx(stream_); }

  void begin(uint32_t) override { ZSTD_DCtx_reset(stream_, ZSTD_reset_session_only); }
  bool next(std::string_view& bytes, std::string_view& out) override {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    ZSTD_outBuffer window{window_.data(), window_.size(), 0};
    const size_t result = ZSTD_decompressStream(stream_, &window, &in);
    bytes.remove_prefix(in.pos);
    out = {window_.data(), window.pos};
    return !ZSTD_isError(result);
  }

 private:
  ZSTD_DCtx* stream_;
  std::array<char, 16 * 1024> window_;
};

}  // namespace

std::unique_ptr<MongoInflater> make_zstd_inflater() { return std::make_unique<ZstdInflater>(); }

}  // namespace ringside
