#include <zlib.h>

#include <array>

#include "codecs/mongo/mongo_inflater.h"
#include "core/check.h"

namespace ringside {

namespace {

class ZlibInflater final : public MongoInflater {
 public:
  ZlibInflater() { RS_CHECK(inflateInit(&stream_) == Z_OK); }
  ~ZlibInflater() override { inflateEnd(&stream_); }

  void begin(uint32_t) override {
    RS_CHECK(inflateReset(&stream_) == Z_OK);
    over_ = false;
  }
  bool next(std::string_view& bytes, std::string_view& out) override {
    out = {};
    if (over_) return bytes.empty();                                              // nothing may follow
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // zlib does not write there
    stream_.avail_in = static_cast<uInt>(bytes.size());
    stream_.next_out = reinterpret_cast<Bytef*>(window_.data());
    stream_.avail_out = static_cast<uInt>(window_.size());
    const int result = inflate(&stream_, Z_NO_FLUSH);
    bytes.remove_prefix(bytes.size() - stream_.avail_in);
    out = {window_.data(), window_.size() - stream_.avail_out};
    over_ = result == Z_STREAM_END;
    return result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR;
  }

 private:
  z_stream stream_{};
  bool over_ = false;
  std::array<char, 16 * 1024> window_;
};

}  // namespace

std::unique_ptr<MongoInflater> make_zlib_inflater() { return std::make_unique<ZlibInflater>(); }

}  // namespace ringside
