#include "tls/secret_text.h"

#include <openssl/crypto.h>

namespace ringside {

void wipe(std::string& text) {
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

SecretText::SecretText(std::string_view text) : text_(text) {}

// A short string lives inside its object, so that a move would leave a second copy: it is copied and wiped instead.
SecretText SecretText::take(std::string& text) {
  SecretText secret{std::string_view(text)};
  wipe(text);
  return secret;
}

SecretText::SecretText(const SecretText& other) : text_(other.text_) {}

SecretText::SecretText(SecretText&& other) noexcept {
  text_.swap(other.text_);
  wipe(other.text_);
}

SecretText& SecretText::operator=(SecretText other) noexcept {
  wipe(text_);
  text_.swap(other.text_);
  return *this;
}

SecretText::~SecretText() { wipe(text_); }

}  // namespace ringside
