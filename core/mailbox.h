#pragma once
// Messages between workers: the only cross-thread queue. Rare: new configuration, new addresses, stop.
#include <atomic>
#include <memory>

namespace ringside {

// One message, run once on the receiving worker.
class Mail {
 public:
  virtual ~Mail() = default;
  virtual void deliver() = 0;

 private:
  friend class Mailbox;
  Mail* next_ = nullptr;
};

// Many senders, one receiver. The receiver watches event_fd() for readability.
class Mailbox {
 public:
  Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  // Mail that was never delivered is destroyed.
  ~Mailbox();

  int event_fd() const { return event_fd_; }
  // Any thread. Wakes the receiver only when the box was empty.
  void post(std::unique_ptr<Mail> mail);
  // Receiver only: runs everything posted so far, in order.
  void deliver_all();

 private:
  std::atomic<Mail*> newest_{nullptr};
  int event_fd_ = -1;
};

}  // namespace ringside
