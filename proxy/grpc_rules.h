#pragma once
// What gRPC over HTTP says about a message that is not the service's own: how a local answer looks, what `grpc-timeout` means.
#include <cstdint>
#include <optional>
#include <string_view>

#include "codecs/http.h"
#include "core/time.h"

namespace ringside {

// The numbers of grpc-status.
enum class GrpcStatus : uint8_t {
  ok,
  cancelled,
  unknown,
  invalid_argument,
  deadline_exceeded,
  not_found,
  already_exists,
  permission_denied,
  resource_exhausted,
  failed_precondition,
  aborted,
  out_of_range,
  unimplemented,
  internal,
  unavailable,
  data_loss,
  unauthenticated,
  count_
};

// By its content-type: application/grpc, or application/grpc+<format>.
bool is_grpc_request(const Head& head);
// What a client is to make of a HTTP status that no service gave.
GrpcStatus grpc_status_of_http(uint16_t status);
// nullopt: no grpc-status here, or one that gRPC does not know.
std::optional<GrpcStatus> grpc_status_of(const HeaderMap& fields);
void set_grpc_status(HeaderMap& fields, GrpcStatus status);
// Percent-encoded.
void set_grpc_message(HeaderMap& fields, std::string_view text);
// Makes `head` an answer without a message: status 200, grpc-status, and `text` percent-encoded as grpc-message unless it is empty.
void set_grpc_answer(Head& head, GrpcStatus status, std::string_view text);
// Value of `grpc-timeout`: at most eight digits and a unit of H M S m u n, rounded up to milliseconds; nullopt: none, or not one.
std::optional<Duration> grpc_timeout_of(const HeaderMap& fields);
// Writes it in the smallest unit of m, S, M, H that eight digits hold.
void set_grpc_timeout(HeaderMap& fields, Duration timeout);

}  // namespace ringside
