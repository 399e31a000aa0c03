#include "codecs/http1/h1_parser.h"

#include <llhttp.h>

#include <algorithm>
#include <cstring>

#include "codecs/http_text.h"
#include "core/check.h"

namespace ringside {
namespace {

constexpr uint32_t spare_scratch_max = 64;
constexpr uint32_t text_bytes_first = 2048;
// A scratch that served an unusually large head gives its text back.
constexpr uint32_t text_bytes_kept = 16 * 1024;

// A trailer section is parsed as the fields of a message that begins with this.
constexpr std::string_view trailers_preamble = "PUT / HTTP/1.1\r\n";

}  // namespace

// What llhttp calls. Only these three events are asked for: the values and everything else follow from where the names are.
struct H1Callbacks {
  static llhttp_t& engine(H1Scratch& scratch) {
    static_assert(sizeof(llhttp_t) <= H1Scratch::engine_bytes && alignof(llhttp_t) <= 8);
    return *reinterpret_cast<llhttp_t*>(scratch.engine_);
  }
  static H1Scratch& of(llhttp_t* parser) { return *static_cast<H1Scratch*>(parser->data); }

  static int on_url(llhttp_t* parser, const char* at, size_t size) {
    H1Scratch& scratch = of(parser);
    if (scratch.target_size_ == 0)
      scratch.target_ = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(at) - scratch.origin_);
    scratch.target_size_ += static_cast<uint32_t>(size);
    return HPE_OK;
  }

  static int on_header_field(llhttp_t* parser, const char* at, size_t size) {
    H1Scratch& scratch = of(parser);
    std::vector<H1Line>& lines = scratch.lines_;
    const auto offset = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(at) - scratch.origin_);
    if (!lines.empty() && lines.back().name + lines.back().name_size == offset) {
      // A name that is cut by the end of a receive comes in pieces that follow each other without a gap.
      size += lines.back().name_size;
    } else if (lines.size() < scratch.lines_max_) {
      lines.push_back({.name = offset});
    } else {
      scratch.too_many_lines_ = true;
      return HPE_USER;
    }
    scratch.name_too_long_ = size > h1::name_bytes_max;
    lines.back().name_size = static_cast<uint16_t>(size);
    return scratch.name_too_long_ ? HPE_USER : HPE_OK;
  }

  static int on_headers_complete(llhttp_t*) { return HPE_PAUSED; }

  static const llhttp_settings_t* settings(H1Part part) {
    static constexpr auto make = [](bool with_url) {
      llhttp_settings_t made{};
      made.on_url = with_url ? &on_url : nullptr;
      made.on_header_field = &on_header_field;
      made.on_headers_complete = &on_headers_complete;
      return made;
    };
    static constexpr llhttp_settings_t request = make(true);
    static constexpr llhttp_settings_t other = make(false);
    return part == H1Part::request ? &request : &other;
  }
};

// --- Scratch -----------------------------------------------------------------------------------------------------------

void H1Scratch::begin(H1Part part, const H1Limits& limits) {
  llhttp_t& parser = *new (engine_) llhttp_t;
  // llhttp knows its settings as mutable and does not write to them.
  llhttp_init(&parser, part == H1Part::response ? HTTP_RESPONSE : HTTP_REQUEST, H1Callbacks::settings(part));
  parser.data = this;
  lines_.clear();
  size_ = 0;
  target_ = 0;
  target_size_ = 0;
  lines_max_ = limits.header_count_max;
  too_many_lines_ = false;
  name_too_long_ = false;
  if (part != H1Part::trailers) return;
  const llhttp_errno_t result = llhttp_execute(&parser, trailers_preamble.data(), trailers_preamble.size());
  RS_CHECK(result == HPE_OK);
}

void H1Scratch::gather(std::string_view bytes) {
  if (size_ + bytes.size() > capacity_) {
    const size_t wanted = std::max<size_t>({size_ + bytes.size(), size_t{capacity_} * 2, text_bytes_first});
    auto bigger = std::make_unique_for_overwrite<char[]>(wanted);
    if (size_ > 0) std::memcpy(bigger.get(), gathered_.get(), size_);
    gathered_ = std::move(bigger);
    capacity_ = static_cast<uint32_t>(wanted);
  }
  if (!bytes.empty()) std::memcpy(gathered_.get() + size_, bytes.data(), bytes.size());
  size_ += static_cast<uint32_t>(bytes.size());
  text_ = gathered_.get();
}

void H1Scratch::shrink() {
  text_ = nullptr;
  if (capacity_ > text_bytes_kept) {
    gathered_.reset();
    capacity_ = 0;
  }
  if (lines_.capacity() * sizeof(H1Line) > text_bytes_kept) lines_ = {};
}

H1ScratchPool::~H1ScratchPool() {
  while (spare_ != nullptr) {
    H1Scratch* next = spare_->next_;
    delete spare_;
    spare_ = next;
  }
}

H1Scratch* H1ScratchPool::take() {
  if (spare_ == nullptr) return new H1Scratch;
  H1Scratch* taken = spare_;
  spare_ = taken->next_;
  --spare_count_;
  return taken;
}

void H1ScratchPool::give(H1Scratch* scratch) {
  if (spare_count_ == spare_scratch_max) {
    delete scratch;
    return;
  }
  scratch->shrink();
  scratch->next_ = spare_;
  spare_ = scratch;
  ++spare_count_;
}

// --- What llhttp refused, in our words -----------------------------------------------------------------------------------

namespace {

H1Failure too_large(H1Part part, H1Scratch& scratch) {
  const std::string_view text = scratch.view(0, scratch.size());
  if (part == H1Part::request && text.find('\r') == std::string_view::npos)
    return {"request line is too long", ErrorCode::too_large, 414};
  return {part == H1Part::trailers ? "trailers are too large" : "headers are too large", ErrorCode::too_large, 431};
}

H1Failure from_llhttp(const llhttp_t& parser, H1Part part) {
  const auto bad = [](const char* detail) { return H1Failure{.detail = detail}; };
  switch (llhttp_get_errno(&parser)) {
    case HPE_INVALID_METHOD: return bad("unknown method");
    case HPE_INVALID_URL: return bad("invalid request target");
    case HPE_INVALID_VERSION:
      // The same code stands for two digits that are no version of HTTP and for anything else in that place.
      if (std::string_view(llhttp_get_error_reason(&parser)) != "Invalid HTTP version")
        return bad(part == H1Part::request ? "invalid request line" : "invalid status line");
      if (part == H1Part::request) return {"unsupported HTTP version", ErrorCode::bad_message, 505};
      return bad("unsupported HTTP version");
    case HPE_PAUSED_H2_UPGRADE: return bad("HTTP/2 preface on an HTTP/1 connection");
    case HPE_INVALID_CONSTANT: return bad(part == H1Part::request ? "invalid request line" : "invalid status line");
    case HPE_INVALID_STATUS: return bad("invalid status line");
    case HPE_INVALID_CONTENT_LENGTH: return bad("invalid content-length");
    case HPE_UNEXPECTED_CONTENT_LENGTH: return bad("more than one message length");
    case HPE_INVALID_TRANSFER_ENCODING: return bad("transfer-encoding is not exactly chunked");
    case HPE_UNEXPECTED_SPACE: return bad("space before the first field");
    case HPE_CR_EXPECTED:
    case HPE_LF_EXPECTED:
    case HPE_STRICT: return bad("line does not end in CRLF");
    default: return bad(part == H1Part::trailers ? "invalid trailer field" : "invalid header field");
  }
}

// --- Every byte accounted for --------------------------------------------------------------------------------------------

bool is_blank(char c) { return c == ' ' || c == '\t'; }

const char* check_unknown_name(H1Line& line, std::string_view name, const H1Limits& limits) {
  if (!http::is_token(name)) return "invalid character in a field name";
  if (limits.underscore == H1Underscore::allow || name.find('_') == std::string_view::npos) return nullptr;
  if (limits.underscore == H1Underscore::reject) return "field name with an underscore";
  line.dropped = true;
  return nullptr;
}

// Fields begin where the start line ended. Each line is token ":" OWS value OWS CRLF, with nothing between lines.
bool check_lines(H1Scratch& head, H1Part part, const H1Limits& limits, H1Failure& failure) {
  const auto refuse = [&failure](const char* detail) {
    failure = {.detail = detail};
    return false;
  };
  const char* const text = head.text();
  const uint32_t size = head.size();
  std::vector<H1Line>& lines = head.lines();
  const auto ends_line = [text](uint32_t end) { return end >= 2 && text[end - 2] == '\r' && text[end - 1] == '\n'; };
  if (!ends_line(size)) return refuse("line does not end in CRLF");
  const uint32_t fields_end = size - 2;
  // One CR and one LF for each line, as the loop below finds them: any further control character is somewhere inside.
  const size_t line_count = lines.size() + (part == H1Part::trailers ? 1 : 2);
  if (!http::has_controls(text, size, 2 * line_count)) return refuse("control character or line end inside of a line");
  uint32_t begin = lines.empty() ? fields_end : lines.front().name;
  if (part == H1Part::trailers ? begin != 0 : !ends_line(begin)) return refuse("line does not end in CRLF");
  const H1Line* const past_last = lines.data() + lines.size();
  for (H1Line* line = lines.data(); line != past_last; ++line) {
    const uint32_t colon = begin + line->name_size;
    const uint32_t end = line + 1 != past_last ? line[1].name : fields_end;
    if (line->name_size == 0) return refuse("empty field name");
    if (colon + 3 > end || text[colon] != ':') return refuse("no colon after a field name");
    if (!ends_line(end)) return refuse("line does not end in CRLF");
    const char* value = text + colon + 1;
    const char* past = text + end - 2;
    while (value < past && is_blank(*value)) ++value;
    while (past > value && is_blank(past[-1])) --past;
    line->value = static_cast<uint32_t>(value - text);
    line->value_size = static_cast<uint32_t>(past - value);
    begin = end;
    line->id = header_id_any_case(head.name(*line));
    if (line->id != HeaderId::other) continue;
    if (const char* wrong = check_unknown_name(*line, head.name(*line), limits)) return refuse(wrong);
  }
  return true;
}

}  // namespace

H1HeadParser::Step H1HeadParser::feed(H1ScratchPool& pool, const H1Limits& limits, H1Part part, std::string_view bytes,
                                      size_t& consumed, H1Failure& failure) {
  if (scratch_ == nullptr) {
    scratch_ = pool.take();
    scratch_->begin(part, limits);
  }
  H1Scratch& head = *scratch_;
  llhttp_t& parser = H1Callbacks::engine(head);
  const size_t room = limits.header_bytes_max - head.size_;
  const std::string_view given = bytes.substr(0, room);
  head.origin_ = reinterpret_cast<uintptr_t>(given.data()) - head.size_;
  const llhttp_errno_t error = given.empty() ? HPE_OK : llhttp_execute(&parser, given.data(), given.size());
  if (error == HPE_OK) {
    head.gather(given);
    consumed = given.size();
    if (given.size() == bytes.size()) return Step::more;
    failure = too_large(part, head);
    return Step::failed;
  }
  if (error == HPE_PAUSED) {
    consumed = static_cast<size_t>(llhttp_get_error_pos(&parser) - given.data());
    if (head.size_ == 0) {
      head.text_ = given.data();
      head.size_ = static_cast<uint32_t>(consumed);
    } else {
      head.gather(given.substr(0, consumed));
    }
    return check_lines(head, part, limits, failure) ? Step::done : Step::failed;
  }
  consumed = 0;
  failure = from_llhttp(parser, part);
  if (head.too_many_lines_) failure = {"too many header fields", ErrorCode::too_large, 431};
  if (head.name_too_long_) failure = {"field name is too long", ErrorCode::too_large, 431};
  return Step::failed;
}

}  // namespace ringside
