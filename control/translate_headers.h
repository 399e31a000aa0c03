#pragma once
// Headers to add and to remove, which route configurations, virtual hosts and routes have alike.
#include <google/protobuf/message.h>
#include <google/protobuf/repeated_ptr_field.h>

#include <string>
#include <string_view>
#include <vector>

#include "control/translate_context.h"
#include "core.pb.h"
#include "proxy/specs.h"

namespace ringside {

// `parent` and `number` are the message and field that hold the list.
std::vector<HeaderValueSpec> translate_headers_to_add(
    TranslateContext& context,
    const google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>& options);
std::vector<std::string> translate_headers_to_remove(TranslateContext& context, const google::protobuf::Message& parent,
                                                     int number,
                                                     const google::protobuf::RepeatedPtrField<std::string>& names);

// All four lists of a message that has them.
template <class T>
HeaderEditSpec translate_header_edits(TranslateContext& context, const T& message) {
  return {.request_add = translate_headers_to_add(context, message.request_headers_to_add()),
          .response_add = translate_headers_to_add(context, message.response_headers_to_add()),
          .request_remove = translate_headers_to_remove(context, message, T::kRequestHeadersToRemoveFieldNumber,
                                                        message.request_headers_to_remove()),
          .response_remove = translate_headers_to_remove(context, message, T::kResponseHeadersToRemoveFieldNumber,
                                                         message.response_headers_to_remove())};
}

// ASCII letters small, everything else as it is.
std::string lower_case(std::string_view text);
// RFC 9110 section 5.6.2, as the name of a header.
bool is_token(std::string_view text);
// RFC 9110 section 5.5: no line ends and no NUL; spaces and tabs inside are fine.
bool is_header_value(std::string_view text);

}  // namespace ringside
