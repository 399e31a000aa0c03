#include "core/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "core/check.h"

namespace ringside {

Mailbox::Mailbox() : event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { RS_CHECK(event_fd_ >= 0); }

Mailbox::~Mailbox() {
  for (Mail* mail = newest_.load(std::memory_order_acquire); mail != nullptr;) {
    std::unique_ptr<Mail> owned(mail);
    mail = mail->next_;
  }
  ::close(event_fd_);
}

void Mailbox::post(std::unique_ptr<Mail> mail) {
  Mail* added = mail.release();
  Mail* seen = newest_.load(std::memory_order_relaxed);
  do {
    added->next_ = seen;
  } while (!newest_.compare_exchange_weak(seen, added, std::memory_order_release, std::memory_order_relaxed));
  if (seen != nullptr) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_fd_, &one, sizeof one);
}

void Mailbox::deliver_all() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t read = ::read(event_fd_, &count, sizeof count);
  Mail* mail = newest_.exchange(nullptr, std::memory_order_acquire);
  Mail* oldest = nullptr;
  while (mail != nullptr) {
    Mail* next = mail->next_;
    mail->next_ = oldest;
    oldest = mail;
    mail = next;
  }
  while (oldest != nullptr) {
    const std::unique_ptr<Mail> owned(oldest);
    oldest = oldest->next_;
    owned->deliver();
  }
}

}  // namespace ringside
