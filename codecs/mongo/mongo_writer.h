#pragma once
// Messages of our own making, in place of a server's.
#include <cstdint>
#include <string>
#include <string_view>

#include "codecs/mongo/mongo_facts.h"

namespace ringside {

// An error as a server would put it: {ok: 0, errmsg, code, codeName}.
struct MongoError {
  int32_t code = 13;
  std::string_view code_name = "Unauthorized";
  std::string_view message = {};
};

// What answers the request `header` with facts `request`: an OP_MSG, for the legacy kinds an OP_REPLY (with $err and the flag of
// a failed query when it was no command) or an OP_COMMANDREPLY. Never compressed. Empty when the client expects no answer.
// `request_id` is ours to choose; it should differ from the server's on that connection where that is possible.
std::string mongo_error_reply(const MongoHeader& header, const MongoRequest& request, const MongoError& error,
                              int32_t request_id);

// An OP_MSG with this body and no flags; `body` is a whole BSON document.
std::string mongo_message(std::string_view body, int32_t request_id, int32_t response_to);

// Names of what our own answers may say, and of the codes that servers use most; empty for others.
std::string_view mongo_code_name(int32_t code);

}  // namespace ringside
