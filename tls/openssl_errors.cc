#include "tls/openssl_errors.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace ringside {

std::string take_openssl_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return {};
  if (const char* reason = ERR_reason_error_string(code)) return reason;
  char text[160];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

std::string alert_text(uint8_t alert) {
  const char* const reason = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, SSL_AD_REASON_OFFSET + alert));
  return reason != nullptr ? reason : "alert " + std::to_string(alert);
}

}  // namespace ringside
