#pragma once
// The body of a response of grpc.health.v1.Health/Check, as it comes: one message with one number in it.
#include <cstdint>
#include <string>
#include <string_view>

namespace ringside {

class GrpcReply {
 public:
  // False when it is nothing that a Check answers: cut numbers, compressed or several messages, more than 4 KB.
  bool feed(std::string_view bytes);
  // A whole message has come, and says SERVING.
  bool serving() const { return bytes_.empty() && has_message_ && serving_; }

 private:
  bool read_message(std::string_view message);
  std::string bytes_;  // of a message that is not complete
  bool has_message_ = false;
  bool serving_ = false;
};

// A HealthCheckRequest for this service, with its frame.
std::string grpc_health_request(std::string_view service);

}  // namespace ringside
