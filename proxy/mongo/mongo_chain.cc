#include "proxy/mongo/mongo_chain.h"

#include <utility>

#include "core/worker.h"
#include "proxy/shard.h"

namespace ringside {
namespace {
constexpr size_t idle_texts_max = 256;
}  // namespace

MongoChain::MongoChain(const MongoSpec& spec, const MongoChainStats& stats, std::string_view listener_name, Shard& shard,
                       std::unique_ptr<MongoJudge> judge)
    : spec_(spec),
      listener_name_(listener_name),
      worker_(shard.worker()),
      counters_(spec, stats, shard.registry(), worker_.index()),
      judge_(std::move(judge)) {
  if (!spec.access_log.empty()) log_ = std::make_unique<MongoLog>(shard.log_file(spec.access_log), shard.second_cache());
  holds_ = judge_ != nullptr || spec.delay > Duration::zero();
  if (judge_ == nullptr) return;
  request_options_.depth = judge_->depth();
  request_options_.body_kept_bytes_max = judge_->body_kept_bytes_max();
  request_options_.message_bytes_max = judge_->message_bytes_max();
  held_bytes_max_ = judge_->judge_bytes_max();
}

std::unique_ptr<MongoKeptTexts> MongoChain::take_texts() {
  if (idle_texts_.empty()) return std::make_unique<MongoKeptTexts>();
  auto texts = std::move(idle_texts_.back());
  idle_texts_.pop_back();
  return texts;
}

void MongoChain::give_back(std::unique_ptr<MongoKeptTexts> texts) {
  if (texts != nullptr && idle_texts_.size() < idle_texts_max) idle_texts_.push_back(std::move(texts));
}

}  // namespace ringside
