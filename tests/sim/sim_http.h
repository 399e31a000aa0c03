#pragma once
// HTTP/1.1 as the scripted peers speak it: written apart from codecs/, so that the one checks the other.
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/time.h"

namespace ringside::sim {

// --- What one request shall be, and what became of it ---

enum class BodyFraming : uint8_t { none, length, chunked, until_close };
// How an origin breaks off.
enum class Death : uint8_t { none, before_head, in_head, in_body };
enum class Outcome : uint8_t {
  pending,
  never_sent,   // its connection ended before its turn
  whole,        // the origin's answer, complete
  local,        // a complete answer of the proxy
  broken,       // no answer, or half of one
  abandoned,    // the client broke off itself
};

struct Plan {
  uint64_t id = 0;
  // The request.
  std::string method = "GET";
  BodyFraming request_framing = BodyFraming::none;
  size_t request_body_bytes = 0;
  bool expect_continue = false;
  bool close = false;
  bool malformed = false;
  // The answer.
  uint16_t status = 200;
  BodyFraming framing = BodyFraming::length;
  size_t body_bytes = 0;
  bool origin_close = false;
  bool early = false;    // before the request's body is there
  bool interim = false;  // a 103 first
  bool garbage = false;  // not HTTP
  bool silent = false;   // never
  bool junk_after = false;  // bytes that nobody asked for, after the answer
  Duration think{};
  Death death = Death::none;
  int failures = 0;          // so many attempts fail, each in its own way
  int attempts_max = 1;      // of the proxy's
  size_t death_at = 0;  // byte of the body
  bool death_by_reset = false;

  // What happened.
  int seen_at_origin = 0;
  bool request_whole_at_origin = false;
  Outcome outcome = Outcome::pending;

  bool has_answer_body() const { return method != "HEAD" && status != 204 && status != 304; }
  // Nothing in this plan keeps the origin's answer from the client.
  bool benign() const {
    return !malformed && !garbage && !silent && death == Death::none && !junk_after;
  }
  // The pattern of its request body and of its answer's body.
  uint64_t request_pattern() const { return 2 * id; }
  uint64_t answer_pattern() const { return 2 * id + 1; }
};

// --- Reading ---

struct HttpHead {
  std::string start_line;
  std::multimap<std::string, std::string> fields;  // lower-case names
  std::string_view field(const std::string& name) const;
  int status() const;          // of a response
  std::string method() const;  // of a request
};

class MessageUser {
 public:
  // A final head, not an interim one.
  virtual void on_message_head(const HttpHead& head) = 0;
  virtual void on_message_body(std::string_view bytes) = 0;
  virtual void on_message_end() = 0;

 protected:
  ~MessageUser() = default;
};

class MessageReader {
 public:
  enum class Kind : uint8_t { request, response };
  MessageReader(Kind kind, MessageUser& user) : kind_(kind), user_(user) {}
  // False when it is not HTTP: `problem()` says why, and nothing more is read.
  bool read(std::string_view bytes);
  // The connection ended; ends a body that lasts until then.
  void end();
  // For each response: the method it answers; asked for when its head is there.
  void set_method(std::string method) { method_ = std::move(method); }
  bool in_message() const { return state_ != State::head || !text_.empty(); }
  bool in_body() const { return state_ != State::head; }
  size_t interims() const { return interims_; }
  const char* problem() const { return problem_; }

 private:
  enum class State : uint8_t { head, body_length, chunk_size, chunk_data, chunk_end, trailers, until_close };
  bool step();
  bool read_head();
  bool begin_body(const HttpHead& head);
  bool take_line(std::string* line);
  bool fail(const char* problem);
  void end_message();

  Kind kind_;
  MessageUser& user_;
  State state_ = State::head;
  std::string text_;
  std::string method_;
  size_t left_ = 0;
  size_t interims_ = 0;
  const char* problem_ = nullptr;
};

}  // namespace ringside::sim
