#pragma once
// The library's error queue as text for a person.
#include <cstdint>
#include <string>

namespace ringside {

// The reason of the oldest error in this thread's queue, which is the cause of the later ones: "wrong version number".
// Empties the queue; empty when there was none.
std::string take_openssl_error();

// What the library says of an alert that the peer sent: "sslv3 alert bad certificate".
std::string alert_text(uint8_t alert);

}  // namespace ringside
